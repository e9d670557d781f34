"""Regions that reports are summed over, and their derived areas."""

from __future__ import annotations
