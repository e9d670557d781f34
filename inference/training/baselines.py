"""Two plain answers on the same test pixels, so that a network's figures can be read.

The majority class, and a logistic regression on the band values of a pixel alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from inference.normalisation import Normalisation
from inference.segmentation_model import CLASS_CODES
from inference.training.blocks import TEST, TRAIN
from inference.training.metrics import SegmentationMetrics, confusion_matrix
from inference.training.samples import TrainingScene

PIXELS_PER_CLASS = 4000
CHUNK_ROWS = 256
RIDGE = 1e-4


def majority_baseline(scenes: Sequence[TrainingScene], codes: Sequence[int]) -> SegmentationMetrics:
    """Figures on the test pixels when every pixel is called what most training pixels are."""
    counts = [sum(int(_chosen(scene, TRAIN, code).sum()) for scene in scenes) for code in codes]
    answer = codes[int(np.argmax(counts))]
    total = np.zeros((len(CLASS_CODES),) * 2, np.int64)
    for scene in scenes:
        reference = scene.labelled.classes[scene.parts == TEST]
        total += confusion_matrix(reference, np.full_like(reference, answer), CLASS_CODES)
    return SegmentationMetrics(CLASS_CODES, total)


def pixel_baseline(
    scenes: Sequence[TrainingScene],
    codes: Sequence[int],
    normalisation: Normalisation,
    rng: np.random.Generator,
) -> SegmentationMetrics:
    """Figures on the test pixels of a logistic regression on normalised band values and their squares.

    Fitted to as many pixels of each class, drawn from the training pixels.
    """
    values, classes = _training_pixels(scenes, codes, normalisation, rng)
    weights = _fit(values, classes, len(codes))
    answers = np.array(codes, np.uint8)
    total = np.zeros((len(CLASS_CODES),) * 2, np.int64)
    for scene in scenes:
        for pixels, reference in _pixels(scene, scene.parts == TEST, normalisation):
            predicted = answers[(_features(pixels) @ weights).argmax(dim=1).numpy()]
            total += confusion_matrix(reference, predicted, CLASS_CODES)
    return SegmentationMetrics(CLASS_CODES, total)


def _training_pixels(
    scenes: Sequence[TrainingScene],
    codes: Sequence[int],
    normalisation: Normalisation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Values (pixels, bands) and class places (pixels,), about `PIXELS_PER_CLASS` of each class."""
    chosen = [np.zeros(scene.parts.size, bool) for scene in scenes]
    for code in codes:
        masks = [_chosen(scene, TRAIN, code) for scene in scenes]
        share = PIXELS_PER_CLASS / max(sum(int(mask.sum()) for mask in masks), 1)
        for target, mask in zip(chosen, masks, strict=True):
            target |= mask & (rng.random(mask.size) < share)
    found = [
        item
        for scene, mask in zip(scenes, chosen, strict=True)
        for item in _pixels(scene, mask, normalisation)
    ]
    place = np.zeros(256, np.int64)
    place[list(codes)] = np.arange(len(codes))
    values = np.concatenate([pixels for pixels, _ in found])
    return values, place[np.concatenate([classes for _, classes in found])]


def _chosen(scene: TrainingScene, part: int, code: int) -> NDArray[np.bool_]:
    chosen: NDArray[np.bool_] = (scene.parts == part) & (scene.labelled.classes == code)
    return chosen


def _pixels(
    scene: TrainingScene, chosen: NDArray[np.bool_], normalisation: Normalisation
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Normalised values (pixels, bands) and classes of chosen labelled pixels, by strips of the scene."""
    grid, labelled = scene.source.grid, scene.labelled
    for top in range(0, grid.height_px, CHUNK_ROWS):
        here = chosen & (labelled.rows >= top) & (labelled.rows < top + CHUNK_ROWS)
        if here.any():
            height = min(CHUNK_ROWS, grid.height_px - top)
            strip, _ = scene.source.read_normalised(top, 0, height, grid.width_px, normalisation)
            yield strip[:, labelled.rows[here] - top, labelled.cols[here]].T, labelled.classes[here]


def _features(values: NDArray[np.float32]) -> torch.Tensor:
    linear = torch.from_numpy(np.ascontiguousarray(values)).clamp(-8, 8)
    return torch.cat((linear, linear**2 / 4, torch.ones(len(linear), 1)), dim=1)


def _fit(values: NDArray[np.float32], classes: NDArray[np.int64], count: int) -> torch.Tensor:
    """Weights (features, classes) of the regression."""
    features, target = _features(values), torch.from_numpy(classes)
    weights = torch.zeros(features.shape[1], count, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(features @ weights, target) + RIDGE * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]  # untyped in torch
    return weights.detach()
