"""Rows of the table: figures of the seeds as mean and spread, and intervals over what was judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.registry import ModelRecord
from inference.prospect.figures import FIGURES, RESAMPLES, Judged, resampled_figures
from inference.training.metrics import or_null


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of what is known; the spread of one value is not."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return {
        "mean": float(np.mean(known)) if known else None,
        "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "values": [None if value is None else or_null(value) for value in values],
    }


def patch_row(data: str, name: str, records: Sequence[ModelRecord]) -> dict[str, Any]:
    """A network's row, from the figures of the test patches that its models are stored with.

    Returns:
        By figure mean and spread over the seeds, and ``low`` and ``high``: the interval of the mean when
        blocks are drawn anew.

    """
    drawn = seeds_resampled(records)
    blocks = len(np.unique(judged_of(records[0]).blocks))
    figures = {
        figure: {
            **over_seeds([record.metrics[figure] for record in records]),
            **ends_of(drawn[figure], blocks),
        }
        for figure in FIGURES
    }
    first = records[0].training["settings"]
    return {
        "data": data,
        "network": name,
        "seeds": [record.training["settings"]["seed"] for record in records],
        "settings": {key: first.get(key) for key in ("width", "learning_rate", "epochs")},
        "trials": records[0].training["trials"],
        "threshold": over_seeds([float(record.training["threshold"]) for record in records]),
        "seconds": over_seeds([float(record.training["seconds"]) for record in records]),
        "patches": records[0].metrics["patches"],
        "positives": records[0].metrics["positives"],
        "blocks": blocks,
        **figures,
    }


def differences_to(
    first: Sequence[ModelRecord], others: Mapping[str, Sequence[ModelRecord]]
) -> list[dict[str, Any]]:
    """The first row's mean figures minus each other row's, with intervals over the same drawn blocks."""
    judged, drawn = judged_of(first[0]), seeds_resampled(first)
    blocks = len(np.unique(judged.blocks))
    differences: list[dict[str, Any]] = []
    for name, records in others.items():
        other = judged_of(records[0])
        if not np.array_equal(other.blocks, judged.blocks):
            raise ValueError(f"{name} was not judged on the same patches")
        resampled = seeds_resampled(records)
        found: dict[str, Any] = {"minus": name}
        for figure in FIGURES:
            means = [
                over_seeds([each.metrics[figure] for each in every])["mean"] for every in (first, records)
            ]
            value = None if None in means else means[0] - means[1]
            found[figure] = {"value": value, **ends_of(drawn[figure] - resampled[figure], blocks)}
        differences.append(found)
    return differences


def judged_of(record: ModelRecord) -> Judged:
    """Answers of a stored model on its test patches."""
    return Judged.from_metrics(record.metrics, f"model {record.name}")


def seeds_resampled(records: Sequence[ModelRecord]) -> dict[str, NDArray[np.float64]]:
    """Each figure (resamples,), mean over the seeds; every seed is judged on the same drawn blocks."""
    every = [resampled_figures(judged_of(record)) for record in records]
    return {figure: np.mean([each[figure] for each in every], axis=0) for figure in FIGURES}


def ends_of(drawn: NDArray[np.float64], blocks: int) -> dict[str, float | None]:
    """Ends of the 95 % interval of a figure (resamples,); None with one block, or where few draws tell it."""
    known = drawn[np.isfinite(drawn)]
    if blocks < 2 or len(known) < 0.5 * len(drawn):
        return {"low": None, "high": None}
    low, high = np.percentile(known, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def mean_interval(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Mean of (n,) values and its 95 % interval when groups of them (n,), or each alone, are drawn anew."""
    if len(values) == 0:
        return {"value": None, "low": None, "high": None}
    numbers = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5]) if count > 1 else (math.nan, math.nan)
    return {"value": float(values.mean()), "low": or_null(float(low)), "high": or_null(float(high))}
