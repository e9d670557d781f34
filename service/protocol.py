"""What a worker and its engine say to each other: JSON, a line a message, over a pair of sockets.

To the engine: ``{"do": TASK, "args": {...}}`` and ``{"stop": "cancel" | "release"}``.
From it: ``{"hello": {"device", "versions"}}`` once, during a job ``{"pulse": true}`` every few seconds,
whatever it does (with ``"gpu_bytes": [USED, TOTAL]`` where it uses a GPU),
``{"beat": [STAGE, DONE, TOTAL]}`` as it gets on, and at the end of it the fields of an ``Outcome`` (see
``service.outcomes``). Without a job it says nothing: nobody reads then.
"""

from __future__ import annotations

import json
from typing import Any, Final

SOCKET_VARIABLE: Final = "LODE_ENGINE_SOCKET"
"""Number of the engine's end of the pair of sockets."""

DONE: Final = "done"
SUPERSEDED: Final = "superseded"
"""Somebody else did it, or nobody wants it any more."""
REFUSED: Final = "refused"
"""It cannot be done, however often it is tried."""
TRANSIENT: Final = "transient"
"""Something outside was in the way."""
BROKEN: Final = "broken"
"""A bug, or the engine died."""
RELEASED: Final = "released"
"""The job was given back."""
UNWELL: Final = "unwell"
"""This machine was in the way, see ``db.machine_faults``; the job was given back."""
CANCELLED: Final = "cancelled"


def encode(message: dict[str, Any]) -> bytes:
    """A message as it is sent."""
    return json.dumps(message, ensure_ascii=False, default=str).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """A message as it came."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError(f"a message is an object, got {type(message).__name__}")
    return message
