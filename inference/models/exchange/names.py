"""How the parts of an exported model are called."""

from __future__ import annotations

WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
PARTIAL = ".partial"
"""Ending of whatever is still being written."""
