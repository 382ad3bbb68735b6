"""The CC0 hand that ships with hmpfit (`open_hand_right.npz`) and the scripts that built it; nothing here runs in use."""
