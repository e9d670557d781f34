"""The command that prints all of a table which a page shows a part of."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def report_command(words: Sequence[str], table: str) -> str:
    """``lode report`` with these words for a table as CSV, quoted for a shell."""
    first, *rest = words
    options = ["--table", table, "--format", "csv"]
    dash = ["--"] if rest and rest[0].startswith("-") and first in {"mine", "region"} else []
    return shlex.join(["lode", "report", first, *options, *dash, *rest])
