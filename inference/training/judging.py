"""Judging a network once, at the end: every figure that is stored with it.

All from the same sliding windows as in use: areas and classes from one confusion matrix, boundaries, whether
probabilities mean what they say, and how far all of it can be trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.evaluation.bootstrap import BlockConfusions, bootstrap_intervals
from inference.evaluation.boundary import BoundaryCounts, BoundaryStrips
from inference.evaluation.calibration import Calibration, calibration_of
from inference.evaluation.figures import OF_ALL, confusion_figures
from inference.predict import PROBABILITY_STEPS, PredictedStrip, predict_scene
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.training.blocks import block_place
from inference.training.metrics import SegmentationMetrics, or_null
from inference.training.samples import TrainingScene


@dataclass(frozen=True)
class Judgement:
    """What a network does on one part of its ground.

    Attributes:
        metrics: the confusion matrix and its figures.
        blocks: the same by block of ground.
        labels_sha256: of the labels it was held against: places and classes.
        boundary: boundary pixels met and missed.
        calibration: of the probabilities as they are served.
        uncalibrated: of the same network at temperature 1.

    """

    metrics: SegmentationMetrics
    blocks: BlockConfusions
    boundary: BoundaryCounts
    calibration: Calibration
    uncalibrated: Calibration
    labels_sha256: str

    def as_json(self, names: Mapping[int, str]) -> dict[str, Any]:
        """For the registry; NaN becomes null.

        Args:
            names: key of each class code, e.g. ``{6: "open_pit"}``.

        """
        matrices, codes = self.blocks.matrices, self.metrics.codes
        blocks = [
            {"key": "{},{}".format(*block_place(key)), "confusion": matrix.tolist()}
            for key, matrix in zip(self.blocks.keys, matrices, strict=True)
        ]
        return figures_as_json(self.metrics, names) | {
            "boundary": self.boundary.as_json(names),
            "calibration": {
                "before": self.uncalibrated.as_json(names),
                "after": self.calibration.as_json(names),
            },
            "intervals": bootstrap_intervals(matrices, codes).as_json(names),
            "blocks": blocks,
            "labels_sha256": self.labels_sha256,
        }


def figures_as_json(metrics: SegmentationMetrics, names: Mapping[int, str]) -> dict[str, Any]:
    """All that a confusion matrix says, for the registry: per class, means with and without background."""
    means = {name: float(confusion_figures(metrics.confusion, metrics.codes)[name]) for name in OF_ALL}
    told = {name: or_null(value) for name, value in means.items()}
    return metrics.as_json(names) | told


def judge(
    model: SegmentationModel, scenes: Sequence[TrainingScene], part: int, overlap_px: int | None
) -> Judgement:
    """Judge a network on the labelled pixels of one part of all scenes together.

    Args:
        model: in evaluation mode, with its temperature.
        scenes: with their split.
        part: validation or test.
        overlap_px: of the windows; None: as in use.

    """
    codes = model.class_codes
    blocks = BlockConfusions(codes)
    boundary = BoundaryCounts.nothing(codes)
    served = Calibration.nothing(model.mapped_codes)
    plain = Calibration.nothing(model.mapped_codes)
    for scene in scenes:
        truth = scene.truth(part)
        needed = truth != IGNORED
        if not needed.any():
            continue
        pixels = _Pixels(scene, part)
        lines = BoundaryStrips(codes, truth.shape[1])
        for strip in predict_scene(scene.source, model, overlap_px=overlap_px, needed=needed):
            rows = slice(strip.row, strip.row + strip.class_map.shape[0])
            lines.add(truth[rows], np.where(needed[rows], strip.class_map, np.uint8(IGNORED)))
            blocks.add(*pixels.under(strip))
            served += _held_against(strip, truth[rows], model)
        boundary += lines.counts
        if model.temperature != 1:
            sharp = replace(model, temperature=1.0)
            for strip in predict_scene(scene.source, sharp, overlap_px=overlap_px, needed=needed):
                plain += _held_against(strip, truth[strip.row : strip.row + strip.class_map.shape[0]], model)
    total = blocks.matrices.sum(axis=0)
    return Judgement(
        SegmentationMetrics(codes, total),
        blocks,
        boundary,
        served,
        plain if model.temperature != 1 else served,
        _labels_sha256(scenes, part),
    )


def _labels_sha256(scenes: Sequence[TrainingScene], part: int) -> str:
    """Of places and classes of one part's labels: two models with the same were held against the same."""
    digest = hashlib.sha256()
    for scene in sorted(scenes, key=lambda each: each.product):
        chosen = scene.parts == part
        digest.update(scene.product.encode())
        for values in (scene.labelled.rows, scene.labelled.cols, scene.labelled.classes):
            digest.update(np.ascontiguousarray(values[chosen]).data)
    return digest.hexdigest()


class _Pixels:
    """The labelled pixels of one part of a scene, in rows from the top.

    A map of their blocks would take eight bytes for every pixel of the scene, labelled or not.
    """

    def __init__(self, scene: TrainingScene, part: int) -> None:
        chosen = np.flatnonzero(scene.parts == part)
        chosen = chosen[np.argsort(scene.labelled.rows[chosen], kind="stable")]
        self._rows, self._cols = scene.labelled.rows[chosen], scene.labelled.cols[chosen]
        self._classes, self._blocks = scene.labelled.classes[chosen], scene.labelled.blocks[chosen]

    def under(self, strip: PredictedStrip) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """Class, answer and block of each pixel under a strip, three arrays (pixels,)."""
        first, end = np.searchsorted(self._rows, (strip.row, strip.row + strip.class_map.shape[0]))
        here = slice(first, end)
        called = strip.class_map[self._rows[here] - strip.row, self._cols[here]]
        return self._classes[here], called, self._blocks[here]


def _held_against(strip: PredictedStrip, truth: NDArray[np.uint8], model: SegmentationModel) -> Calibration:
    """The probabilities of a strip, as they are stored, held against its labels."""
    if strip.probabilities is None:
        raise ValueError("the strip carries no probabilities")
    reference = np.where(strip.class_map == IGNORED, np.uint8(IGNORED), truth)
    shares = torch.from_numpy(strip.probabilities[model.mapped_outputs]).float() / PROBABILITY_STEPS
    return calibration_of(shares[None], reference[None], model.mapped_codes)
