"""What a listing of a source yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refused:
    """Something in a source that cannot be taken, with the reason; the rest goes on."""

    reason: str


@dataclass(frozen=True)
class Unsettled:
    """Something that is still being written."""

    name: str
