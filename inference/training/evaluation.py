"""Judging a network on held-out blocks, through the same sliding windows as in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.predict import predict_scene
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.training.metrics import SegmentationMetrics, confusion_matrix
from inference.training.samples import TrainingScene


def evaluate(
    model: SegmentationModel, scenes: Sequence[TrainingScene], part: int, overlap_px: int | None
) -> SegmentationMetrics:
    """Figures over the labelled pixels of one part (validation or test) of all scenes together."""
    total = np.zeros((len(model.class_codes),) * 2, np.int64)
    for scene in scenes:
        truth = scene.truth(part)
        needed = truth != IGNORED
        if not needed.any():
            continue
        strips = predict_scene(
            scene.source, model, overlap_px=overlap_px, needed=needed, with_probabilities=False
        )
        for strip in strips:
            reference = truth[strip.row : strip.row + strip.class_map.shape[0]]
            total += confusion_matrix(reference, strip.class_map, model.class_codes)
    return SegmentationMetrics(model.class_codes, total)
