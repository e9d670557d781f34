"""Every figure of a confusion matrix, for many matrices at once.

`inference.training.metrics.SegmentationMetrics` says the same of one matrix. Intervals need the figures of
thousands of resampled matrices, and comparisons need means of recall, precision and Dice beside those of IoU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.training.metrics import BACKGROUND

OF_CLASSES = ("iou", "precision", "recall", "dice")
WITHOUT_BACKGROUND = "_without_background"
OF_ALL = (
    *(f"mean_{name}{ending}" for name in OF_CLASSES for ending in ("", WITHOUT_BACKGROUND)),
    "overall_accuracy",
    "kappa",
)


def confusion_figures(
    confusion: NDArray[np.int64], codes: Sequence[int], averaged: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The figures `OF_CLASSES` (..., classes) and `OF_ALL` (...) of confusion matrices.

    A class that the reference lacks is NaN. Kappa is the agreement beyond that of chance (Cohen 1960, A
    coefficient of agreement for nominal scales); NaN where reference and prediction are one class.

    Args:
        confusion: (..., classes, classes) pixels, reference in rows.
        codes: class code of each row and column.
        averaged: (classes,) classes that every mean is over, NaN where the reference lacks one of them; None:
            each mean is over the classes that its reference holds.

    Raises:
        ValueError: the matrices are not of that many classes.

    """
    if confusion.shape[-2:] != (len(codes), len(codes)):
        raise ValueError(f"confusion matrices of shape {confusion.shape} are not of {len(codes)} classes")
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    reference, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    is_present = reference > 0
    figures = {
        "iou": _ratio(hits, reference + predicted - hits, is_present),
        "precision": _ratio(hits, np.maximum(predicted, 1), is_present),
        "recall": _ratio(hits, reference, is_present),
        "dice": _ratio(2 * hits, reference + predicted, is_present),
    }
    is_foreground = np.array(codes) != BACKGROUND
    for name in OF_CLASSES:
        for ending, chosen in (("", np.ones_like(is_foreground)), (WITHOUT_BACKGROUND, is_foreground)):
            over = is_present & chosen if averaged is None else averaged & chosen
            figures[f"mean_{name}{ending}"] = _mean(figures[name], over)
    total = reference.sum(axis=-1)
    figures["overall_accuracy"] = accuracy = _ratio(hits.sum(axis=-1), total, total > 0)
    # as floats: products of pixel counts of a large scene do not fit into 64 bits
    chance_pixels = (reference.astype(float) * predicted).sum(axis=-1)
    # multiplied as above: ** rounds in its own way, and chance of one class must come out as 1
    chance = _ratio(chance_pixels, total.astype(float) * total, total > 0)
    figures["kappa"] = _ratio(accuracy - chance, 1 - chance, chance < 1)
    return figures


def _ratio(
    part: NDArray[np.generic], whole: NDArray[np.generic], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    ratios = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=ratios, where=known)
    return ratios


def _mean(values: NDArray[np.float64], over: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of (..., classes) over some of the classes."""
    counts = np.broadcast_to(over, values.shape).sum(axis=-1)
    return _ratio(np.where(over, values, 0.0).sum(axis=-1), counts, counts > 0)
