"""Rows of the table: figures of the seeds as mean and spread, and intervals over what was judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.registry import ModelRecord
from inference.prospect import ore_blocks
from inference.prospect.figures import FIGURES, RESAMPLES, Judged, resampled_figures
from inference.prospect.ore_blocks import OreBlocks
from inference.training.metrics import or_null


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and standard deviation (n - 1) of what is known; the spread of one value is not.

    Args:
        values: one a seed; None or NaN: that seed has no value.

    Returns:
        ``mean``, ``spread``, ``values`` of all seeds, and ``known``: how many of them have a value. With
        fewer known than seeds the mean is that of the others, and whoever shows it must say so.

    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    return {
        "mean": float(np.mean(known)) if known else None,
        "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
        "values": [None if value is None else or_null(value) for value in values],
        "known": len(known),
    }


def patch_row(data: str, name: str, records: Sequence[ModelRecord]) -> dict[str, Any]:
    """A network's row, from the figures of the test patches that its models are stored with.

    Returns:
        By figure mean and spread over the seeds, and ``low`` and ``high``: the interval of the mean when
        blocks are drawn anew, None where ``few_blocks`` says why. ``confusion`` has the patches that are
        called right and wrong, see `confusion_of`; the blocks are counted by what they hold.

    """
    drawn = seeds_resampled(records)
    judged = judged_of(records[0])
    blocks = OreBlocks.of(judged.blocks, judged.is_positive)
    figures = {
        figure: {
            **over_seeds([record.metrics[figure] for record in records]),
            **ends_of(drawn[figure], blocks.least),
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
        **blocks.as_json(),
        "few_blocks": blocks.too_few,
        "confusion": confusion_of([record.metrics["confusion"] for record in records]),
        **figures,
    }


def confusion_of(matrices: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """Patches of confusion matrices, one a seed, as `over_seeds` gives them.

    Args:
        matrices: truth in rows, answer in columns: [[no-no, no-ore], [ore-no, ore-ore]].

    Returns:
        ``tp`` ore found, ``fp`` barren taken for ore, ``fn`` ore missed, ``tn`` barren told as such.

    """
    places = {"tp": (1, 1), "fp": (0, 1), "fn": (1, 0), "tn": (0, 0)}
    return {
        name: over_seeds([float(matrix[row][column]) for matrix in matrices])
        for name, (row, column) in places.items()
    }


def differences_to(
    first: Sequence[ModelRecord], others: Mapping[str, Sequence[ModelRecord]]
) -> list[dict[str, Any]]:
    """The first row's mean figures minus each other row's, with intervals over the same drawn blocks.

    Each tells by figure ``value``, ``low``, ``high``, and ``known``: the seeds with a value in the row
    that has fewer of them. Ends are None where ``few_blocks`` says why.
    """
    judged, drawn = judged_of(first[0]), seeds_resampled(first)
    blocks = OreBlocks.of(judged.blocks, judged.is_positive)
    differences: list[dict[str, Any]] = []
    for name, records in others.items():
        other = judged_of(records[0])
        is_same = np.array_equal(other.is_positive, judged.is_positive)
        if not is_same or not np.array_equal(other.blocks, judged.blocks):
            raise ValueError(f"{name} was not judged on the same patches")
        resampled = seeds_resampled(records)
        found: dict[str, Any] = {"minus": name, **blocks.as_json(), "few_blocks": blocks.too_few}
        for figure in FIGURES:
            rows = [over_seeds([each.metrics[figure] for each in every]) for every in (first, records)]
            means = [row["mean"] for row in rows]
            found[figure] = {
                "value": None if None in means else means[0] - means[1],
                **ends_of(drawn[figure] - resampled[figure], blocks.least),
                "known": min(row["known"] for row in rows),
            }
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
    """Ends of the 95 % interval of a figure; see `inference.prospect.ore_blocks.ends_of`."""
    low, high = ore_blocks.ends_of(drawn, blocks)
    return {"low": low, "high": high}


def mean_interval(values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> dict[str, Any]:
    """Mean of (n,) values and its 95 % interval when groups of them (n,), or each alone, are drawn anew.

    Returns:
        ``value``, ``low``, ``high``, and ``places``: how many groups are drawn. No ends with fewer than
        `inference.prospect.ore_blocks.LEAST_BLOCKS` of them.

    """
    if len(values) == 0:
        return {"value": None, "low": None, "high": None, "places": 0}
    numbers = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    sums, sizes = np.bincount(numbers, values), np.bincount(numbers)
    drawn = np.random.default_rng(0).integers(count, size=(RESAMPLES, count))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    return {"value": float(values.mean()), **ends_of(means, count), "places": count}
