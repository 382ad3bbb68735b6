"""The CC0 hand that ships with hmpfit (`open_hand_right.npz`) and its build scripts; none of them runs in use."""
