"""What the models of an experiment say together: each figure by row, its mean and spread over the seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from inference.evaluation.figures import OF_CLASSES
from inference.experiments.plan import Plan
from inference.experiments.rows import Row
from inference.experiments.runner import Outcome
from inference.networks import build_network
from inference.segmentation_model import CLASS_CODES

Metrics = Mapping[str, Any]

FIGURES: dict[str, tuple[str, ...]] = {
    "mIoU": ("mean_iou",),
    "mRecall": ("mean_recall",),
    "mPrecision": ("mean_precision",),
    "mDice": ("mean_dice",),
    "mIoU_without_background": ("mean_iou_without_background",),
    "overall_accuracy": ("overall_accuracy",),
    "kappa": ("kappa",),
    "boundary_f1": ("boundary", "mean_f1"),
    "ece": ("calibration", "after", "ece"),
    "ece_before_temperature": ("calibration", "before", "ece"),
}
"""Figures of a row, and where a model's metrics hold them."""
BASELINES = {"majority_class": "majority class", "pixel_regression": "per-pixel regression"}


def over_seeds(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean and spread of a figure over seeds; None where a seed does not tell it.

    The spread is the standard deviation of the sample (divisor n - 1), None for one seed.
    """
    known = [value for value in values if value is not None]
    is_whole = len(known) == len(values) > 0
    return {
        "mean": statistics.fmean(known) if is_whole else None,
        "spread": statistics.stdev(known) if is_whole and len(known) > 1 else None,
        "values": list(values),
    }


def figures_over_seeds(metrics: Sequence[Metrics]) -> dict[str, Any]:
    """`FIGURES` of the models (or baselines) of one row, and the figures of every class.

    Args:
        metrics: as stored in the registry, one a seed.

    """
    told: dict[str, Any] = {
        figure: over_seeds([_at(each, *path) for each in metrics]) for figure, path in FIGURES.items()
    }
    first = metrics[0]["by_class"]
    told["by_class"] = {
        key: {"code": values["code"], "pixels": values["pixels"]}
        | {
            figure: over_seeds([_at(each, "by_class", key, figure) for each in metrics])
            for figure in OF_CLASSES
        }
        # the database sorts keys in its own way
        for key, values in sorted(first.items(), key=lambda item: int(item[1]["code"]))
    }
    return told


def summarise(plan: Plan, outcome: Outcome) -> list[dict[str, Any]]:
    """A dictionary a row, in the plan's order; rows without a single model are left out."""
    rows = []
    for row in plan.rows:
        seeds = [seed for seed in plan.seeds if (row.network, seed) in outcome.models]
        if not seeds:
            continue
        records = [outcome.models[row.network, seed] for seed in seeds]
        rows.append(
            {
                "network": row.network,
                "architecture": row.architecture,
                "backbone": records[0].options["backbone"],
                "parameters": _parameters(row, len(records[0].band_names), records[0].options),
                "seeds": seeds,
                "models": [record.name for record in records],
                **figures_over_seeds([record.metrics for record in records]),
                "best_epoch": [record.training["best_epoch"] for record in records],
                "windows_shown": [sum(epoch["windows"] for epoch in record.history) for record in records],
                "seconds": over_seeds([record.training.get("seconds") for record in records]),
                "device": sorted({record.training["device"] for record in records}),
            }
        )
    return rows


def summarise_baselines(plan: Plan, outcome: Outcome) -> list[dict[str, Any]]:
    """The plain answers as rows; the same for all networks of a seed, so taken from one of them."""
    by_seed: dict[int, Metrics] = {}
    for row, seed in plan.trainings:
        if (row.network, seed) in outcome.models:
            by_seed.setdefault(seed, outcome.models[row.network, seed].metrics.get("baselines", {}))
    rows = []
    for key, name in BASELINES.items():
        seeds = [seed for seed, baselines in by_seed.items() if key in baselines]
        if seeds:
            told = figures_over_seeds([by_seed[seed][key] for seed in seeds])
            rows.append({"network": name, "key": key, "seeds": seeds, **told})
    return rows


def _at(metrics: Metrics, *path: str) -> float | None:
    """A figure somewhere in the metrics; None where they lack it."""
    value: Any = metrics
    for key in path:
        if not isinstance(value, Mapping) or value.get(key) is None:
            return None
        value = value[key]
    return float(value) if math.isfinite(value) else None


def _parameters(row: Row, bands: int, options: Mapping[str, Any]) -> int:
    network = build_network(row.architecture, in_channels=bands, classes=len(CLASS_CODES), **options)
    return sum(each.numel() for each in network.parameters())
