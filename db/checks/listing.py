"""How `lode db check` shows what it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from db.checks.result import CheckResult

_LONGEST_LIST = 20
"""Lines of one kind within a check: a thousand failed jobs are not read one by one."""


def check_lines(results: Iterable[CheckResult]) -> Iterator[str]:
    """The lines to print: ``ok``, ``warn`` or ``FAIL`` and the title, below it what was found."""
    for result in results:
        state = "FAIL" if result.faults else "warn" if result.warnings else "ok  "
        yield f"{state}  {result.title}"
        yield from _indented(result.faults, "")
        yield from _indented(result.warnings, "warning: ")
        yield from _indented(result.unseen, "not seen: ")
        if result.faults or result.warnings:
            yield f"        hint: {result.hint}"


def _indented(lines: list[str], prefix: str) -> Iterator[str]:
    for line in lines[:_LONGEST_LIST]:
        yield f"        {prefix}{line}"
    if len(lines) > _LONGEST_LIST:
        yield f"        {prefix}... and {len(lines) - _LONGEST_LIST} more"
