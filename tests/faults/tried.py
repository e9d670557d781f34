"""The table at the end of ``make faults``: what was tried, how often, and what came of it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

OUTCOMES = ("passed", "failed", "error", "skipped")


@dataclass
class Tried:
    """Cases of one test.

    Attributes:
        cases: their names, with the parameters of each.
        counts: how many had each outcome.
        seconds: what all of them took, preparations included.

    """

    cases: set[str]
    counts: dict[str, int]
    seconds: float


def show(reporter: pytest.TerminalReporter, folder: Path) -> None:
    """Print one line for each test of a folder, under what its file is about.

    Args:
        reporter: of the run that ends.
        folder: of the tests.

    """
    found: dict[tuple[str, str], Tried] = {}
    for outcome, reports in reporter.stats.items():
        for report in reports:
            file, _, case = getattr(report, "nodeid", "").partition("::")
            if not case or outcome == "deselected" or Path(file).parent.name != folder.name:
                continue
            test = case.partition("[")[0]
            tried = found.setdefault((Path(file).name, test), Tried(set(), dict.fromkeys(OUTCOMES, 0), 0.0))
            tried.cases.add(case)
            tried.seconds += getattr(report, "duration", 0.0)
            if outcome in OUTCOMES:
                tried.counts[outcome] += 1
    reporter.section("what was tried")
    reporter.write_line(f"{'':64}{'cases':>7}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for file in sorted({file for file, _ in found}):
        reporter.write_line(about(folder / file))
        for test, tried in sorted((test, each) for (its, test), each in found.items() if its == file):
            name = test.removeprefix("test_").replace("_", " ")
            failed = tried.counts["failed"] + tried.counts["error"]
            reporter.write_line(
                f"  {name[:61]:62}{len(tried.cases):7}{tried.counts['passed']:8}{failed:8}"
                f"{tried.counts['skipped']:9}{tried.seconds:9.0f}"
            )


def about(file: Path) -> str:
    """What a file of tests says of itself in its first line."""
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or file.stem
    return said.splitlines()[0]
