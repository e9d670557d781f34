"""Values of samples as laboratories write them: numbers, empty fields, and limits of detection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from ingest.evidence.cleaning import ABSURD, SENTINELS, check_lowest
from ingest.vectors import FeatureTable

MISSING = ("", "-", "--", "na", "n/a", "nan", "none", "null")
"""What is written, in any case, where a sample has no value."""

BELOW_LIMIT = 0.5
"""A content below the limit of detection counts as this share of the limit, as surveys commonly do."""

MANY_BELOW = 0.5
SHOWN = 5


@dataclass(frozen=True)
class Contents:
    """Values of a column, one a sample.

    Attributes:
        values: float64, NaN where a sample has none.
        below_limit: how many were written as below a limit of detection.
        is_log: their logarithms are what is gridded: they are contents of an element.
        notes: what the user should know.

    """

    values: npt.NDArray[np.float64]
    below_limit: int
    is_log: bool
    notes: tuple[str, ...]


def read_contents(table: FeatureTable, column: str, *, kind: str, nodata: Sequence[float] = ()) -> Contents:
    """Understand a column of values.

    ``<5`` is below a limit of detection and counts as half of it, ``>100`` is above what was measured and
    counts as that. Contents (kind geochemistry) of 0 count as half the smallest positive one, for they lay
    below a limit that nobody wrote.

    Args:
        table: the samples.
        column: the column.
        kind: what they are evidence of.
        nodata: numbers that mark samples without a value; ``nan``: negative ones are values, as of
            logarithms, which are then gridded as they are.

    Raises:
        UsageError: a value is no number, a content is negative, or there is no value at all.

    """
    values = np.full(len(table.ids), np.nan)
    below = above = 0
    odd: list[str] = []
    for row, written in enumerate(table.columns[column]):
        try:
            values[row], side = parse_value(written)
        except ValueError:
            odd.append(f"{table.row_name(row)}: {written!r}")
            continue
        below += side < 0
        above += side > 0
    name = f"{table.name}, column {column!r}"
    if odd:
        shown = "; ".join(odd[:SHOWN]) + (f"; and {len(odd) - SHOWN} more" if len(odd) > SHOWN else "")
        raise UsageError(
            f"{name}: {len(odd)} of {len(values)} values are no numbers: {shown}. Write numbers with a "
            "decimal point, '<5' for less than a limit of detection of 5, and nothing where there is no value"
        )
    notes = _without_marked(values, nodata)
    known = np.isfinite(values)
    if not known.any():
        raise UsageError(f"{name}: no sample has a value: is it the right column, and is --nodata right?")
    if not known.all():
        notes.append(
            f"{np.count_nonzero(~known)} of {len(values)} samples have no {column}: they are left out"
        )
    if below:
        count = np.count_nonzero(known)
        notes.append(
            f"{'warning: ' if below > MANY_BELOW * count else ''}{below} of {count} values lie below a limit "
            "of detection: half of it is taken"
        )
    if above:
        notes.append(f"{above} values lie above what was measured (as '>100'): that is taken")
    is_log = kind == "geochemistry" and not any(math.isnan(value) for value in nodata)
    if is_log:
        _refuse_negative(table, column, values)
        notes += _without_zeros(values)
    else:
        notes += check_lowest(values, kind="other", nodata=nodata, name=name)
    return Contents(values, below, is_log, tuple(notes))


def parse_value(written: Any) -> tuple[float, int]:
    """Understand one value.

    Returns:
        The number, NaN for none; and -1 where it was below a limit of detection, 1 above one, else 0.

    Raises:
        ValueError: it is none of these.

    """
    if written is None:
        return math.nan, 0
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        raise ValueError(written)  # noqa: TRY004
    if not isinstance(written, str):
        return _finite(float(written)), 0
    text = written.strip().replace("＜", "<").replace("≤", "<").replace("＞", ">").replace("≥", ">")
    if text.casefold() in MISSING:
        return math.nan, 0
    if "_" in text:
        raise ValueError(written)  # Python reads 1_000 as a number, and nobody else does
    if text[0] not in "<>":
        return _finite(float(text)), 0
    limit = _finite(float(text[1:].removeprefix("=")))
    if limit <= 0:
        raise ValueError(written)
    return (limit * BELOW_LIMIT, -1) if text[0] == "<" else (limit, 1)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def _without_marked(values: npt.NDArray[np.float64], nodata: Sequence[float]) -> list[str]:
    """Make NaN of numbers that mark samples without a value; returns notes."""
    notes = []
    for mark in nodata:
        if math.isnan(mark):
            continue
        marked = values == mark
        if not marked.any():
            notes.append(f"warning: no sample holds --nodata {mark:g}")
        values[marked] = np.nan
    absurd = np.abs(values) > ABSURD
    if absurd.any():
        notes.append(
            f"{np.count_nonzero(absurd)} samples hold absurd numbers such as {values[absurd][0]:.2g}: they "
            "have no value"
        )
        values[absurd] = np.nan
    return notes


def _refuse_negative(table: FeatureTable, column: str, values: npt.NDArray[np.float64]) -> None:
    rows = np.flatnonzero(values < 0)
    if rows.size == 0:
        return
    lowest = float(values[rows].min())
    shown = "; ".join(f"{table.row_name(int(row))}: {values[row]:g}" for row in rows[:SHOWN])
    advice = "" if lowest in SENTINELS else f"if it stands for less than a limit write '<{-lowest:g}'; "
    raise UsageError(
        f"{table.name}, column {column!r}: {rows.size} of {np.count_nonzero(~np.isnan(values))} values are "
        f"negative ({shown}), and no element's content is: if {lowest:g} marks samples without value say "
        f"--nodata {lowest:g}; {advice}if these are values, as of logarithms, say --nodata nan"
    )


def _without_zeros(values: npt.NDArray[np.float64]) -> list[str]:
    """Half the smallest positive content in place of 0; returns notes."""
    zeros = values == 0
    if not zeros.any():
        return []
    positive = values[values > 0]
    if positive.size == 0:
        return []  # all are 0, which is refused as constant
    least = BELOW_LIMIT * float(positive.min())
    values[zeros] = least
    return [
        f"{np.count_nonzero(zeros)} contents are 0, below a limit that is not told: {least:g}, half the "
        "smallest of the others, is taken"
    ]
