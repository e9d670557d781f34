"""The temperature of a trained network, fitted on its validation part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from inference.device import BatchRunner
from inference.evaluation.temperature import LogitSample, Temperature
from inference.predict import default_batch_size
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.training.blocks import VALIDATION
from inference.training.samples import TrainingScene
from inference.windows import WindowPlan, pad_by_reflection


def model_temperature(model: SegmentationModel, scenes: Sequence[TrainingScene]) -> Temperature:
    """The temperature under which the validation labels are most likely.

    Labels of classes that the network cannot answer say nothing of it and are left out.

    Args:
        model: in evaluation mode; its own temperature plays no part.
        scenes: with their split.

    """
    sample = LogitSample()
    place = np.full(256, IGNORED, np.uint8)
    place[list(model.mapped_codes)] = np.arange(len(model.mapped_codes))
    together = default_batch_size(model.tile_px, model.device)
    runner = BatchRunner(model.logits, together)
    for scene in scenes:
        truth = place[scene.truth(VALIDATION)]
        plan = WindowPlan(truth.shape[0], truth.shape[1], model.tile_px, 0)
        windows = [
            (slice(row, row + model.tile_px), slice(col, col + model.tile_px))
            for row in plan.rows
            for col in plan.cols
            if (truth[row : row + model.tile_px, col : col + model.tile_px] != IGNORED).any()
        ]
        for first in range(0, len(windows), together):
            pixels, labels = [], []
            for rows, cols in windows[first : first + together]:
                here = np.full((model.tile_px, model.tile_px), IGNORED, np.uint8)
                known = truth[rows, cols]
                values, _ = scene.source.read_normalised(
                    rows.start, cols.start, known.shape[0], known.shape[1], model.normalisation
                )
                here[: known.shape[0], : known.shape[1]] = known
                pixels.append(pad_by_reflection(values, model.tile_px, model.tile_px))
                labels.append(here)
                truth[rows, cols] = IGNORED  # the last windows of a row overlap; each pixel counts once
            logits = runner(torch.from_numpy(np.stack(pixels)).to(model.device))
            sample.add(logits, torch.from_numpy(np.stack(labels)), IGNORED)
    return sample.temperature()
