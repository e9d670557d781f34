"""What the members of an ensemble say of labelled pixels, each alone, through the same windows as in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.device import BatchRunner, half_precision
from inference.networks.ensemble import Ensemble
from inference.predict import default_batch_size, default_overlap_px
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.training.metrics import SegmentationMetrics, confusion_matrix
from inference.training.samples import TrainingScene
from inference.windows import StripBlender, Window, WindowPlan, pad_by_reflection

SAMPLE_PIXELS = 200_000
"""Pixels that weights are fitted to at most, drawn evenly: neighbours say the same again."""


@dataclass(frozen=True)
class MemberAnswers:
    """What the members say of one part of the labelled pixels.

    Attributes:
        likelihoods: (pixels, members) probability that each member gives to the label of each pixel; without
            labels of classes that no member can answer.
        metrics: of each member, over all pixels.

    """

    likelihoods: NDArray[np.float32]
    metrics: list[SegmentationMetrics]

    def sampled(self, pixels: int = SAMPLE_PIXELS) -> NDArray[np.float32]:
        """The likelihoods of so many pixels at most, the same at each call."""
        if len(self.likelihoods) <= pixels:
            return self.likelihoods
        chosen = np.random.default_rng(0).choice(len(self.likelihoods), pixels, replace=False)
        return self.likelihoods[np.sort(chosen)]


def member_answers(
    model: SegmentationModel,
    ensemble: Ensemble,
    scenes: Sequence[TrainingScene],
    part: int,
    overlap_px: int | None,
) -> MemberAnswers:
    """Ask each member alone about the labelled pixels of one part.

    Windows are blended as in use, before anything is rounded. Blending and averaging may change places, so
    that the mean of these answers is what the ensemble answers.

    Args:
        model: the ensemble, for its windows, bands and device; its temperature plays no part.
        ensemble: its network; weights play no part.
        scenes: with their split.
        part: training, validation or test.
        overlap_px: of the windows; None: as in use.

    """
    members, codes = len(ensemble.networks), np.array(model.mapped_codes, np.uint8)
    place = np.full(256, -1, np.int64)
    place[codes] = np.arange(codes.size)
    confusions = np.zeros((members, len(model.class_codes), len(model.class_codes)), np.int64)
    likelihoods = [np.zeros((0, members), np.float32)]
    for scene in scenes:
        truth = scene.truth(part)
        if not (truth != IGNORED).any():
            continue
        for labels, probabilities in _blended(model, ensemble, scene, truth, overlap_px):
            answers = codes[probabilities.argmax(axis=1)]
            for number in range(members):
                confusions[number] += confusion_matrix(labels, answers[number], model.class_codes)
            known = np.flatnonzero(place[labels] >= 0)
            likelihoods.append(probabilities[:, place[labels[known]], known].T)
    metrics = [SegmentationMetrics(model.class_codes, confusion) for confusion in confusions]
    return MemberAnswers(np.concatenate(likelihoods), metrics)


def _blended(
    model: SegmentationModel,
    ensemble: Ensemble,
    scene: TrainingScene,
    truth: NDArray[np.uint8],
    overlap_px: int | None,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Labels (pixels,) and probabilities (members, mapped, pixels) of the labelled pixels, from the top."""
    overlap = default_overlap_px(model.tile_px) if overlap_px is None else overlap_px
    plan = WindowPlan(truth.shape[0], truth.shape[1], model.tile_px, overlap)
    members, mapped = len(ensemble.networks), len(model.mapped_codes)

    def of_members(tiles: Tensor) -> Tensor:
        with torch.inference_mode(), half_precision(model.device):
            each = ensemble.member_probabilities(tiles.contiguous(memory_format=torch.channels_last))
        return each.flatten(1, 2)

    runner = BatchRunner(of_members, default_batch_size(model.tile_px, model.device))
    blender = StripBlender(plan, members * mapped, model.device)
    pending: list[tuple[Window, NDArray[np.float32]]] = []
    for window in plan:
        rows, cols = (
            slice(window.row, window.row + plan.tile_px),
            slice(window.col, window.col + plan.tile_px),
        )
        if (truth[rows, cols] != IGNORED).any():
            height, width = truth[rows, cols].shape
            pixels, _ = scene.source.read_normalised(
                window.row, window.col, height, width, model.normalisation
            )
            pending.append((window, pad_by_reflection(pixels, plan.tile_px, plan.tile_px)))
        else:
            blender.skip(window)
        is_last_of_row = window.slot == len(plan.cols) - 1
        if pending and (is_last_of_row or len(pending) >= runner.batch_size):
            tiles = torch.from_numpy(np.stack([pixels for _, pixels in pending])).to(model.device)
            for (done, _), values in zip(pending, runner(tiles), strict=True):
                blender.add(done, values)
            pending.clear()
        taken = blender.take() if is_last_of_row else None
        if taken is not None:
            top, sums = taken
            labels = truth[top : top + sums.shape[1]]
            is_labelled = labels != IGNORED
            if is_labelled.any():
                values = sums[:, torch.from_numpy(is_labelled).to(sums.device)]
                yield labels[is_labelled], values.reshape(members, mapped, -1).cpu().numpy()
