"""The steps of a pretraining, its rounds, and how it goes on after a kill."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from db.errors import UsageError
from inference.device import half_precision, is_out_of_memory
from inference.prefetch import prefetched
from inference.pretraining.ground import PretrainingGround
from inference.pretraining.network import MaskedAutoencoder, hidden_loss
from inference.pretraining.settings import PretrainingSettings
from inference.pretraining.windows import MaskedBatch, training_batches, validation_batches
from inference.training.checkpoint import (
    CheckpointFile,
    Saved,
    named,
    network_tensors,
    optimiser_tensors,
    restore_network,
    restore_optimiser,
)
from inference.training.schedule import average_into, parameter_groups, schedule
from inference.weights import weights_to_bytes

BATCHES_AHEAD = 3
SETTLING_BATCHES = 32


@dataclass(frozen=True)
class Round:
    """Figures of one round.

    Attributes:
        number: counted from 1.
        loss: mean of the training loss.
        validation_loss: on hidden pixels of held-out blocks, by the averaged network.
        seconds: since the start, without the time between a kill and going on.

    """

    number: int
    loss: float
    validation_loss: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the checkpoint and the file."""
        return asdict(self)


@dataclass(frozen=True)
class Fitted:
    """What a pretraining came to; the network it was given holds the weights of the best round.

    Attributes:
        rounds: figures of each.
        best_round: the one that is kept.
        plain_loss: validation loss of the mean of a window's visible pixels.
        steps: that were taken; fewer than planned where a time limit cut them short.

    """

    rounds: tuple[Round, ...]
    best_round: int
    plain_loss: float
    steps: int

    @property
    def validation_loss(self) -> float:
        """Of the round that is kept."""
        return self.rounds[self.best_round - 1].validation_loss


def fit_backbone(
    network: MaskedAutoencoder,
    ground: PretrainingGround,
    settings: PretrainingSettings,
    device: torch.device,
    on_round: Callable[[Round], None],
    *,
    checkpoint: Path | None = None,
    identity: Mapping[str, Any] | None = None,
) -> Fitted:
    """Learn to fill in hidden patches; afterwards ``network`` holds the weights of the best round.

    On a CPU the same seed gives the same weights, also for a training that was killed and started again with
    its checkpoint: every random number of a round follows from the seed and the round.

    Args:
        network: with fresh weights, on ``device``; becomes the running average.
        ground: scenes and blocks.
        settings: how.
        device: where the network is.
        on_round: called after each round.
        checkpoint: file to save to after each round and to go on from where it is there; None: none.
        identity: what else makes this pretraining the one of the checkpoint.

    Raises:
        UsageError: no hidden pixel of held-out ground has data, the loss is no number, a batch does not fit
            into memory, or the checkpoint is another's or cannot be written.

    """
    held_out = validation_batches(ground, settings)
    plain_loss = plain_answer_loss(held_out)
    file = None
    if checkpoint is not None:
        first = hashlib.sha256(weights_to_bytes(network)).hexdigest()
        said = {"settings": settings.as_json(), "first_weights": first, "ground": ground.as_json()}
        file = CheckpointFile(checkpoint, said | dict(identity or {}))
    run = _Run(network, settings, device)
    with file.held() if file else nullcontext():
        saved = file.load() if file else None
        if saved is not None:
            run.restore(saved)
        for number in range(len(run.rounds) + 1, settings.rounds + 1):
            if run.rounds and run.progress >= 1:
                break
            batches = training_batches(
                ground, settings, settings.steps_per_round, np.random.default_rng((settings.seed, 2, number))
            )
            with prefetched(batches, BATCHES_AHEAD) as ahead:
                loss = run.train(number, ahead)
            figures = run.judged(number, loss, validation_loss(network, held_out, device))
            if file is not None:
                file.save(run.saved())
            on_round(figures)
    network.load_state_dict(run.best_state)
    _settle(network.backbone, ground, settings, device)
    return Fitted(tuple(run.rounds), run.best_round, plain_loss, run.steps)


class _Run:
    """A live network in training, whose running average is kept."""

    def __init__(
        self, network: MaskedAutoencoder, settings: PretrainingSettings, device: torch.device
    ) -> None:
        self._averaged = network.eval()
        self._live = copy.deepcopy(network).train()
        self._settings = settings
        self._device = device
        self._optimiser = torch.optim.AdamW(parameter_groups(self._live, settings.weight_decay))
        self.steps = 0
        self._started = time.monotonic()
        self.rounds: list[Round] = []
        self.best_round = 0
        self.best_state = copy.deepcopy(network.state_dict())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """How far the schedule is, by steps, or by time where that runs out first."""
        by_steps = self.steps / self._settings.steps
        if self._settings.time_limit_s is None:
            return by_steps
        return max(by_steps, self.seconds / self._settings.time_limit_s)

    def train(self, number: int, batches: Iterator[MaskedBatch]) -> float:
        """One round of steps; the mean loss."""
        losses: list[float] = []
        for batch in batches:
            losses.append(self._stepped(batch, f"in step {len(losses) + 1} of round {number}"))
            if self._settings.time_limit_s is not None and self.progress >= 1:
                break
        return float(np.mean(losses))

    def judged(self, number: int, loss: float, score: float) -> Round:
        figures = Round(number, loss, score, self.seconds)
        # of equals the later one, whose weights are averaged over more steps
        if score <= min((each.validation_loss for each in self.rounds), default=math.inf):
            self.best_round, self.best_state = number, copy.deepcopy(self._averaged.state_dict())
        self.rounds.append(figures)
        return figures

    def saved(self) -> Saved:
        tensors = network_tensors("live", self._live.state_dict())
        tensors |= network_tensors("averaged", self._averaged.state_dict())
        tensors |= network_tensors("best", self.best_state) | optimiser_tensors(self._optimiser)
        figures = {
            "step": self.steps,
            "seconds": self.seconds,
            "best_round": self.best_round,
            "rounds": [each.as_json() for each in self.rounds],
        }
        return Saved(figures, tensors)

    def restore(self, saved: Saved) -> None:
        restore_network(self._live, "live", saved)
        restore_network(self._averaged, "averaged", saved)
        restore_optimiser(self._optimiser, saved)
        self.best_state = named("best", saved)
        self.best_round = int(saved.figures["best_round"])
        self.rounds = [Round(**each) for each in saved.figures["rounds"]]
        self.steps = int(saved.figures["step"])
        self._started = time.monotonic() - float(saved.figures["seconds"])

    def _stepped(self, batch: MaskedBatch, when: str) -> float:
        learning_rate = self._settings.learning_rate * schedule(self.progress)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        try:
            pixels, hidden, counted = _moved(batch, self._device)
            with half_precision(self._device):
                answer = self._live(pixels, hidden)
            loss = hidden_loss(answer, pixels, counted)
            self._optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise UsageError(
                    f"a batch of {len(batch.pixels)} windows of {batch.pixels.shape[-1]} px does not fit "
                    "into the device's memory: train with a smaller --batch or --tile-px"
                ) from error
            raise
        value = float(loss.detach())
        length = float(nn.utils.clip_grad_norm_(self._live.parameters(), self._settings.gradient_norm))
        # looked at before the step, while the weights are still numbers
        if not (math.isfinite(value) and math.isfinite(length)):
            raise UsageError(
                f"the loss became {value}, its gradient {length}, {when} at learning rate {learning_rate:g}: "
                "train with a smaller --lr, and check the scenes for extreme values"
            )
        self._optimiser.step()
        self.steps += 1
        average_into(self._averaged, self._live, self.steps)
        return value


def validation_loss(network: MaskedAutoencoder, batches: list[MaskedBatch], device: torch.device) -> float:
    """Mean loss over all counted pixels of the batches together."""
    total, pixels_counted = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            count = int(batch.counted.sum())
            if count:
                pixels, hidden, counted = _moved(batch, device)
                with half_precision(device):
                    answer = network(pixels, hidden)
                total += float(hidden_loss(answer, pixels, counted)) * count
                pixels_counted += count
    return total / pixels_counted


def plain_answer_loss(batches: list[MaskedBatch]) -> float:
    """The same loss when hidden pixels are called the mean of their window's visible pixels with data.

    Raises:
        UsageError: no pixel counts.

    """
    total, pixels_counted = 0.0, 0
    for batch in batches:
        count = int(batch.counted.sum())
        if count:
            pixels, hidden, counted = _moved(batch, torch.device("cpu"))
            # no data is 0 in every band at once, which a pixel with data is not
            known = (~hidden & (pixels != 0).any(dim=1))[:, None]
            mean = (pixels * known).sum(dim=(2, 3)) / known.sum(dim=(2, 3)).clamp(min=1)
            answer = mean[:, :, None, None].expand_as(pixels)
            total += float(hidden_loss(answer, pixels, counted)) * count
            pixels_counted += count
    if not pixels_counted:
        raise UsageError(
            "no hidden pixel of the held-out blocks holds data: check the nodata of the scenes, or choose "
            "another --block-m"
        )
    return total / pixels_counted


def _settle(
    backbone: nn.Module, ground: PretrainingGround, settings: PretrainingSettings, device: torch.device
) -> None:
    """Take the statistics of batch normalisation anew over whole windows.

    Those of the training are of windows of which most is hidden, which nobody will show it again.
    """
    layers = [each for each in backbone.modules() if isinstance(each, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
    backbone.train()
    rng = np.random.default_rng((settings.seed, 3))
    count = min(SETTLING_BATCHES, settings.steps)
    with torch.no_grad(), half_precision(device):
        for batch in training_batches(ground, settings, count, rng):
            pixels = torch.from_numpy(batch.pixels).to(device)
            backbone(pixels.contiguous(memory_format=torch.channels_last))
    backbone.eval()
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def _moved(batch: MaskedBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    arrays = (batch.pixels, batch.hidden, batch.counted)
    pixels, hidden, counted = (torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in arrays)
    return pixels, hidden, counted
