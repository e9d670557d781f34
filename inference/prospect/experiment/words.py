"""Figures in words, as the sentences of the experiment have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def figure_text(figure: Mapping[str, Any]) -> str:
    """Mean, interval, and how many seeds have a value where not all do."""
    if figure.get("mean") is None:
        return "no value"
    of_some = ""
    if figure.get("known", 0) < len(figure.get("values", ())):
        of_some = f" in {figure['known']} of {len(figure['values'])} seeds"
    return f"{figure['mean']:.3f}{of_some}{interval_text(figure)}"


def interval_text(ends: Mapping[str, Any]) -> str:
    """The interval in brackets, after a space; nothing where there is none."""
    low, high = ends.get("low"), ends.get("high")
    return "" if low is None or high is None else f" (interval {low:.3f} to {high:.3f})"


def difference_text(what: str, ends: Mapping[str, Any], few: str | None) -> str:
    """A difference with its interval, and whether chance explains it.

    Args:
        what: what is compared.
        ends: ``value``, ``low`` and ``high``.
        few: why there is no interval, if there is none.

    """
    value, low, high = ends["value"], ends["low"], ends["high"]
    if value is None:
        return f"{what}: not known."
    if low is None or high is None:
        return f"{what}: {value:+.3f}, {few or 'without an interval'}."
    verdict = "beyond chance" if low > 0 or high < 0 else "within chance"
    return f"{what}: {value:+.3f} ({low:+.3f} to {high:+.3f}), {verdict}."


def mean_of(figure: Mapping[str, Any]) -> float | None:
    """The mean; None where no seed has a value."""
    mean = figure.get("mean")
    return None if mean is None else float(mean)
