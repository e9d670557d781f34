"""The training loop: steps, schedule, averaged weights, best epoch by the validation blocks."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from db.errors import UsageError
from inference.device import half_precision, is_out_of_memory
from inference.prefetch import prefetched
from inference.segmentation_model import SegmentationModel
from inference.training.augmentation import augmented
from inference.training.blocks import VALIDATION
from inference.training.evaluation import evaluate
from inference.training.loss import SegmentationLoss, class_weights, prior_shifts
from inference.training.samples import TrainingScene, WindowSampler
from inference.training.settings import TrainingSettings

WARM_UP_SHARE = 0.05
GRADIENT_NORM = 5.0
AVERAGE_DECAY = 0.98
BATCHES_AHEAD = 3
WINDOWS_COUNTED = 2000  # to learn how often each class is met


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean of the training loss.
        validation_mean_iou: on the validation blocks, classes present there.
        learning_rate: at its end.
        seconds: since the start of training.

    """

    epoch: int
    loss: float
    validation_mean_iou: float
    learning_rate: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)


def fit(
    model: SegmentationModel,
    scenes: Sequence[TrainingScene],
    pixels_by_class: Sequence[int],
    settings: TrainingSettings,
    windows_per_epoch: int,
    on_epoch: Callable[[Epoch], None],
) -> tuple[list[Epoch], int]:
    """Train; afterwards ``model.network`` holds the weights of the best epoch.

    On a CPU the same seed gives the same weights, unless a time limit cut the schedule short.

    Args:
        model: with a fresh network.
        scenes: with their split.
        pixels_by_class: labelled training pixels of each mapped class.
        settings: how.
        windows_per_epoch: windows drawn an epoch.
        on_epoch: called after each epoch.

    Returns:
        Figures of each epoch, and the best epoch.

    Raises:
        UsageError: the loss is no longer finite, or the device's memory does not hold a batch.

    """
    steps = max(1, math.ceil(windows_per_epoch / settings.batch_size))
    sampler = WindowSampler(scenes, model.mapped_codes, model.normalisation, model.tile_px)
    pixels = np.array(pixels_by_class, np.float64)
    weights = class_weights(pixels)
    met = sampler.met_pixels(WINDOWS_COUNTED, np.random.default_rng(settings.seed))
    loss = SegmentationLoss(
        model.mapped_outputs, model.mapped_codes, weights, prior_shifts(met, pixels, weights)
    )
    loop = _Loop(model, loss.to(model.device), settings, steps * settings.epochs)
    history: list[Epoch] = []
    best, best_state = Epoch(0, math.inf, -1.0, 0.0, 0.0), model.network.state_dict()
    for number in range(1, settings.epochs + 1):
        rng = np.random.default_rng((settings.seed, number))
        with prefetched(sampler.batches(steps, settings.batch_size, rng), BATCHES_AHEAD) as batches:
            mean_loss = loop.epoch(batches)
        score = evaluate(model, scenes, VALIDATION, settings.overlap_px).mean_iou
        epoch = Epoch(number, mean_loss, score, loop.learning_rate, loop.seconds)
        history.append(epoch)
        on_epoch(epoch)
        # of equals the later one, whose weights are averaged over more steps
        if score >= best.validation_mean_iou:
            best, best_state = epoch, copy.deepcopy(model.network.state_dict())
        if loop.is_finished:
            break
    model.network.load_state_dict(best_state)
    return history, best.epoch


class _Loop:
    """A live network in training, whose running average is the model's network."""

    def __init__(
        self, model: SegmentationModel, loss: SegmentationLoss, settings: TrainingSettings, steps: int
    ) -> None:
        self._model = model
        self._settings = settings
        self._steps = steps
        self._step = 0
        self._started = time.monotonic()
        self._live = copy.deepcopy(model.network).train()
        self._loss = loss
        self._optimiser = torch.optim.AdamW(_parameter_groups(self._live, settings.weight_decay))
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.learning_rate = 0.0

    @property
    def seconds(self) -> float:
        """Since the start of training."""
        return time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """How far the schedule is, 0 to 1 and beyond; by steps, or by time where that runs out first."""
        limit = self._settings.time_limit_s
        return max(self._step / self._steps, self.seconds / limit if limit else 0.0)

    @property
    def is_finished(self) -> bool:
        """Whether steps or time are used up."""
        return self.progress >= 1

    def epoch(self, batches: Any) -> float:
        """One epoch; returns its mean loss."""
        losses = []
        for pixels, labels in batches:
            losses.append(self._train(torch.from_numpy(pixels), torch.from_numpy(labels)))
            if self.is_finished:
                break
        mean = float(torch.stack(losses).mean())
        if not math.isfinite(mean):
            raise UsageError(
                f"the training loss became {mean} at learning rate {self.learning_rate:g}: "
                "train with a smaller --lr, and check the scenes for extreme values"
            )
        return mean

    def _train(self, pixels: Tensor, labels: Tensor) -> Tensor:
        device = self._model.device
        self.learning_rate = self._settings.learning_rate * schedule(self.progress)
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        pixels, labels = augmented(pixels.to(device), labels.to(device), self._generator)
        try:
            with half_precision(device):
                logits = self._live(pixels.contiguous(memory_format=torch.channels_last))
            loss: Tensor = self._loss(logits, labels)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise UsageError(
                    f"a batch of {len(pixels)} windows of {self._model.tile_px} px does not fit into the "
                    "device's memory: train with a smaller --batch or --tile-px"
                ) from error
            raise
        nn.utils.clip_grad_norm_(self._live.parameters(), GRADIENT_NORM)
        self._optimiser.step()
        self._step += 1
        average_into(self._model.network, self._live, self._step)
        return loss.detach()


def schedule(progress: float) -> float:
    """Share of the highest learning rate at a share of the training: linear rise, then half a cosine to 0."""
    if progress < WARM_UP_SHARE:
        return max(progress / WARM_UP_SHARE, 0.01)
    return 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE), 1.0)))


def average_into(averaged: nn.Module, live: nn.Module, step: int) -> None:
    """Move the averaged network's state towards the live one's; the first steps count for less."""
    share = 1 - min(AVERAGE_DECAY, step / (step + 10))
    with torch.no_grad():
        for old, new in zip(averaged.state_dict().values(), live.state_dict().values(), strict=True):
            if old.is_floating_point():
                old.lerp_(new, share)
            else:
                old.copy_(new)


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and normalisation, which have one axis, do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
