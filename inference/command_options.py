"""Options of networks as they are given on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from db.errors import UsageError


def named_options(texts: Iterable[str], example: str) -> dict[str, Any]:
    """NAME=VALUE as a dictionary; a value is JSON where it can be read so, else a word.

    Args:
        texts: the options.
        example: one that would do, for messages.

    Raises:
        UsageError: no name or value, or a name given twice.

    """
    options: dict[str, Any] = {}
    for text in texts:
        name, is_said, value = text.partition("=")
        if not (is_said and name and value):
            raise UsageError(f"--option {text}: give NAME=VALUE, e.g. {example}")
        if name in options:
            raise UsageError(f"--option {name} is given twice: leave one out")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options
