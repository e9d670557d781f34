"""What differs between two values of JSON: a checkpoint or a plan, and what is asked for."""

from __future__ import annotations

import json
from typing import Any


def differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """What differs between two values of JSON, in words."""
    if found == wanted:
        return []
    if isinstance(found, dict) and isinstance(wanted, dict):
        return [
            line
            for key in sorted(found.keys() | wanted.keys())
            for line in differences(found.get(key), wanted.get(key), f"{name}.{key}" if name else key)
        ]
    return [f"{name} was {_short(found)}, is {_short(wanted)}"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
