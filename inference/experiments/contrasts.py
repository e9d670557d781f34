"""How a row of an experiment differs from another: over the seeds, and over the test ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.registry import ModelRecord
from inference.evaluation.bootstrap import bootstrap_differences
from inference.experiments.runner import Outcome
from inference.experiments.summary import over_seeds

FIGURES = {"mIoU": "mean_iou", "mRecall": "mean_recall", "mPrecision": "mean_precision", "mDice": "mean_dice"}


def differences_to(outcome: Outcome, networks: Sequence[str], reference: str) -> list[dict[str, Any]]:
    """Every row minus the reference; rows that share no seed with it are left out."""
    return [
        found
        for network in networks
        if network != reference and (found := difference(outcome, network, reference)) is not None
    ]


def difference(outcome: Outcome, network: str, reference: str) -> dict[str, Any] | None:
    """One row minus another, paired over the seeds that both have; None where there is no such seed.

    Two sources of chance are told apart: the spread over seeds says how much comes of chance in training, the
    interval how far the test ground decides. For the interval the confusion matrices of all seeds are added
    block by block, and blocks are drawn anew; None where the models do not hold the same blocks.
    """
    seeds = [seed for each, seed in outcome.models if each == network and (reference, seed) in outcome.models]
    if not seeds:
        return None
    pairs = [(outcome.models[network, seed], outcome.models[reference, seed]) for seed in seeds]
    told: dict[str, Any] = {"network": network, "to": reference, "seeds": seeds}
    for figure, key in FIGURES.items():
        values = [(ours.metrics.get(key), theirs.metrics.get(key)) for ours, theirs in pairs]
        told[figure] = over_seeds([None if a is None or b is None else a - b for a, b in values])
    return told | {"intervals": _intervals(pairs)}


def _intervals(pairs: Sequence[tuple[ModelRecord, ModelRecord]]) -> dict[str, Any] | None:
    metrics = pairs[0][0].metrics
    ours, theirs = (_summed([pair[side].metrics for pair in pairs]) for side in (0, 1))
    if ours is None or theirs is None or ours.keys() != theirs.keys():
        return None
    first, second = (np.stack([each[key] for key in sorted(ours)]) for each in (theirs, ours))
    if (first.sum(axis=2) != second.sum(axis=2)).any():  # other labels: not the same test
        return None
    names = {int(values["code"]): key for key, values in metrics["by_class"].items()}
    found = bootstrap_differences(first, second, metrics["class_codes"]).as_json(names)
    shown = {"level": found["level"], "blocks": found["blocks"], "resamples": found["resamples"]}
    return shown | {figure: found[key] for figure, key in FIGURES.items()} | {"by_class": found["by_class"]}


def _summed(metrics: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[np.int64]] | None:
    """Confusion matrices (classes, classes) by block, added over models; None where blocks differ."""
    by_model = [
        {str(block["key"]): np.array(block["confusion"], np.int64) for block in each.get("blocks", ())}
        for each in metrics
    ]
    keys = by_model[0].keys()
    if not keys or any(each.keys() != keys for each in by_model):
        return None
    return {key: np.sum([each[key] for each in by_model], axis=0) for key in keys}
