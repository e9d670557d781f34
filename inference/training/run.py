"""The state of a training: a live network, its average, its optimiser, what it did, and how it goes on."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from db.errors import UsageError
from inference.device import is_out_of_memory
from inference.segmentation_model import SegmentationModel
from inference.training.adversarial import with_adversaries
from inference.training.augmentation import augmented
from inference.training.checkpoint import (
    Saved,
    named,
    network_tensors,
    optimiser_tensors,
    restore_network,
    restore_optimiser,
)
from inference.training.faults import loss_is_lost
from inference.training.loss import SegmentationLoss
from inference.training.samples import Batch
from inference.training.schedule import average_into, parameter_groups, schedule
from inference.training.settings import TrainingSettings


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean of the training loss.
        validation_mean_iou: on the validation blocks, classes present there.
        learning_rate: at its end.
        seconds: since the start of training, without the time between a kill and going on.
        trained_s: of this epoch's steps alone.
        waited_s: of these, how long the network waited for windows.
        windows: shown in this epoch, over all processes.

    """

    epoch: int
    loss: float
    validation_mean_iou: float
    learning_rate: float
    seconds: float
    trained_s: float = 0.0
    waited_s: float = 0.0
    windows: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)


class TrainingRun:
    """A live network in training, whose running average is the model's network.

    Args:
        model: with a fresh network; it becomes the average.
        loss: on the model's device.
        settings: how.
        steps: of an epoch.
        fabric: of this process.

    Attributes:
        batch_size: windows in a step of this process.
        learning_rate: of the last step.
        history: figures of the epochs done.
        best_epoch: the best of them, 0 before the first.
        best_state: the averaged network's state then.

    """

    def __init__(
        self,
        model: SegmentationModel,
        loss: SegmentationLoss,
        settings: TrainingSettings,
        steps: int,
        fabric: Fabric,
    ) -> None:
        self._model = model
        self._settings = settings
        self._epoch_steps = steps
        self._fabric = fabric
        self._step = 0
        self._started = time.monotonic()
        self._live = copy.deepcopy(model.network).train()
        self._loss = loss
        self._optimiser = torch.optim.AdamW(parameter_groups(self._live, settings.weight_decay))
        self._wrapped, self._steps_with = fabric.setup(self._live, self._optimiser, move_to_device=False)
        self._generator = torch.Generator()
        self._figures = (0.0, 0.0, 0.0, 0)
        self.batch_size = settings.batch_size // fabric.world_size
        self.learning_rate = 0.0
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.best_state = copy.deepcopy(model.network.state_dict())

    @property
    def seconds(self) -> float:
        """Since the start of training."""
        return time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """How far the schedule is, 0 to 1 and beyond; by steps, or by time where that runs out first."""
        by_steps = self._step / (self._epoch_steps * self._settings.epochs)
        if self._settings.time_limit_s is None:
            return by_steps
        # one clock for all processes, for their steps must stay the same
        return max(by_steps, float(self._fabric.broadcast(self.seconds / self._settings.time_limit_s)))

    def epochs_left(self) -> Iterator[int]:
        """Numbers of the epochs to come; ends early when time or patience are used up."""
        for number in range(len(self.history) + 1, self._settings.epochs + 1):
            if self.history and (self.progress >= 1 or self._is_out_of_patience()):
                return
            yield number

    def _is_out_of_patience(self) -> bool:
        scores = [epoch.validation_mean_iou for epoch in self.history]
        return self._settings.patience is not None and (
            len(scores) - 1 - scores.index(max(scores)) >= self._settings.patience
        )

    def train(self, number: int, batches: Iterator[Batch]) -> None:
        """One epoch of steps."""
        seed = (self._settings.seed, number, self._fabric.global_rank)
        seeds = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        torch.manual_seed(int(seeds[0] >> np.uint64(1)))  # dropout
        self._generator.manual_seed(int(seeds[1] >> np.uint64(1)))
        losses: list[float] = []
        begun, waited = time.monotonic(), 0.0
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            waited += time.monotonic() - asked
            if batch is None:
                break
            losses.append(self._train(batch, f"in step {len(losses) + 1} of epoch {number}"))
            if self._settings.time_limit_s is not None and self.progress >= 1:
                break
        windows = len(losses) * self._settings.batch_size
        self._figures = (float(np.mean(losses)), time.monotonic() - begun, waited, windows)

    def judged(self, number: int, score: float) -> Epoch:
        """Enter the epoch's score, and keep its weights where they are the best."""
        mean_loss, trained_s, waited_s, windows = self._figures
        epoch = Epoch(
            number, mean_loss, score, self.learning_rate, self.seconds, trained_s, waited_s, windows
        )
        # of equals the later one, whose weights are averaged over more steps
        if score >= max((each.validation_mean_iou for each in self.history), default=-1.0):
            self.best_epoch, self.best_state = number, copy.deepcopy(self._model.network.state_dict())
        self.history.append(epoch)
        return epoch

    def saved(self) -> Saved:
        """Everything that the next epoch depends on."""
        tensors = network_tensors("live", self._live.state_dict())
        tensors |= network_tensors("averaged", self._model.network.state_dict())
        tensors |= optimiser_tensors(self._optimiser)
        if self.best_epoch != len(self.history):  # else they are the averaged ones
            tensors |= network_tensors("best", self.best_state)
        figures = {
            "step": self._step,
            "seconds": self.seconds,
            "learning_rate": self.learning_rate,
            "best_epoch": self.best_epoch,
            "history": [epoch.as_json() for epoch in self.history],
        }
        return Saved(figures, tensors)

    def restore(self, saved: Saved) -> None:
        """Go on from what was saved."""
        figures = saved.figures
        restore_network(self._live, "live", saved)
        restore_network(self._model.network, "averaged", saved)
        restore_optimiser(self._optimiser, saved)
        self._step, self.learning_rate = int(figures["step"]), float(figures["learning_rate"])
        self._started = time.monotonic() - float(figures["seconds"])
        self.history = [Epoch(**epoch) for epoch in figures["history"]]
        self.best_epoch = int(figures["best_epoch"])
        averaged = self._model.network.state_dict()
        self.best_state = copy.deepcopy(named("best", saved) or averaged)

    def _train(self, batch: Batch, when: str) -> float:
        device, settings = self._model.device, self._settings
        self.learning_rate = settings.learning_rate * schedule(self.progress)
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        pixels, labels = torch.from_numpy(batch.pixels), torch.from_numpy(batch.labels)
        try:
            pixels, labels = augmented(
                pixels.to(device), labels.to(device), self._generator, settings.augmentation
            )
            if settings.adversarial_epsilon:
                pixels = with_adversaries(
                    self._live,
                    self._loss,
                    pixels,
                    labels,
                    epsilon=settings.adversarial_epsilon,
                    share=settings.adversarial_share,
                    generator=self._generator,
                    autocast=self._fabric.autocast(),
                )
            loss = self._loss(self._wrapped(pixels.contiguous(memory_format=torch.channels_last)), labels)
            self._optimiser.zero_grad(set_to_none=True)
            self._fabric.backward(loss)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise UsageError(
                    f"a batch of {len(pixels)} windows of {self._model.tile_px} px does not fit into the "
                    "device's memory: train with a smaller --batch or --tile-px"
                ) from error
            raise
        value = float(loss.detach())
        norm = self._fabric.clip_gradients(
            self._wrapped, self._steps_with, max_norm=settings.gradient_norm, error_if_nonfinite=False
        )
        # looked at before the step, while the weights are still numbers; of several processes all stop here,
        # for the gradient is their mean
        length = math.nan if norm is None else float(norm)
        if not (math.isfinite(value) and math.isfinite(length)):
            lost = f"the training loss became {value}, its gradient {length}, {when}"
            lost += f" at learning rate {self.learning_rate:g}"
            raise loss_is_lost(lost, self._model.network, self._loss, pixels, labels, batch.places)
        self._steps_with.step()
        self._step += 1
        average_into(self._model.network, self._live, self._step)
        return value
