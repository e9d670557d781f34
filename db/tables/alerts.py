"""Alerts of new damage, and what inspectors said of them."""

from __future__ import annotations
