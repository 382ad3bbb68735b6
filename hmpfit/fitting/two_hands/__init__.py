"""Two interacting hands: contact planes between their surfaces, and how penetration is resolved."""
