"""Alerts of damage: their list, and what inspectors say of them."""
