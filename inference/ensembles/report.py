"""What is said of an ensemble: what each member counts, and whether the best of them alone would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def result_lines(training: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """A line for each member and for the ensemble, and one where the ensemble is not worth its cost.

    Args:
        training: of the ensemble, as it is stored.
        metrics: the same.

    """
    members = training["members"]
    width = max(len("ensemble"), *(len(one["name"]) for one in members))
    yield f"{'':<{width}}{'weight':>9}{'mean IoU: validation':>23}{'test':>8}"
    for one in members:
        test = metrics["members"][one["name"]]["mean_iou"]
        yield (
            f"{one['name']:<{width}}{one['weight']:>9.3f}{_figure(one['validation_mean_iou']):>23}"
            f"{_figure(test):>8}"
        )
    yield (
        f"{'ensemble':<{width}}{'':>9}{_figure(training['validation_mean_iou']):>23}"
        f"{_figure(metrics['mean_iou']):>8}"
    )
    unused = [one["name"] for one in members if one["weight"] == 0]
    if unused:
        yield (
            f"{', '.join(unused)}: no weight, the others say as much without; it takes room and no time, "
            "leave it out"
        )
    yield from _verdict(training, metrics)


def best_member(training: Mapping[str, Any]) -> str:
    """The member that did best on the validation part; of equals the first."""
    best = max(training["members"], key=lambda one: one["validation_mean_iou"] or 0.0)
    return str(best["name"])


def _verdict(training: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[str]:
    """The member is chosen as a user would have: on validation, before the test part was looked at."""
    best = best_member(training)
    alone, together = metrics["members"][best]["mean_iou"], metrics["mean_iou"]
    if alone is None or together is None or alone < together:
        return
    how = "as well" if alone == together else "better"
    running = sum(one["weight"] > 0 for one in training["members"])
    yield (
        f"{best} alone, the best member on validation, does {how} on the test part (mean IoU {alone:.3f}, "
        f"the ensemble {together:.3f}): averaging gains nothing here and runs {running} networks instead of 1"
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
