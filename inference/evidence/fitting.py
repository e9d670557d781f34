"""Training a network on a ground without a label: hidden evidence is guessed from what is left in sight."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from db.errors import UsageError
from inference.device import device_faults
from inference.evidence.blocks import default_block_px, validation_ground
from inference.evidence.masks import as_cells, random_masks
from inference.evidence.networks import EvidenceNetwork, network_of
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Report, silent
from inference.evidence.windows import LEAST_JUDGED, PaddedGround, padded_ground
from inference.networks.checks import require_count

MOST_VALIDATION_WINDOWS = 192
WARM_UP_SHARE = 0.05
LARGEST_GRADIENT = 1.0
"""Norm to which the gradient of a step is cut."""
_JUDGED_AT_ONCE = 32


@dataclass(frozen=True)
class FittedNetwork:
    """A trained network.

    Attributes:
        network: with the weights of the best evaluation, in evaluation mode.
        settings: it was trained with.
        seed: of first weights, windows, masks and blocks.
        channels: of the ground, in order.
        history: of all evaluations: ``step``, ``loss`` (mean since the one before), ``validation_loss`` and
            ``seconds`` (since the beginning).
        best_validation_loss: the least of them.

    """

    network: EvidenceNetwork
    settings: EvidenceSettings
    seed: int
    channels: tuple[EvidenceChannel, ...]
    history: list[dict[str, Any]] = field(default_factory=list)
    best_validation_loss: float = math.nan

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights by name, float32."""
        found = self.network.state_dict()
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in found.items()}


def restore(
    settings: EvidenceSettings,
    channels: Sequence[EvidenceChannel],
    state: dict[str, NDArray[Any]],
    *,
    seed: int = 0,
    history: Sequence[dict[str, Any]] = (),
    device: torch.device | None = None,
) -> FittedNetwork:
    """A trained network from what `FittedNetwork.state` gave.

    Args:
        settings: it was trained with.
        channels: of the ground it was trained on.
        state: its weights.
        seed: it was trained with.
        history: of its training.
        device: where it is to compute; None: the processor.

    Raises:
        UsageError: weights of other names or shapes than these settings and channels make.

    """
    with torch.random.fork_rng([]):
        network = network_of(settings, channels)
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    got = {name: tuple(array.shape) for name, array in state.items()}
    if got != wanted:
        wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
        raise UsageError(
            f"the weights are not those of a {settings.method} for {len(channels)} channels: "
            f"{wrong[0]} is {got.get(wrong[0], 'missing')} and must be {wanted.get(wrong[0], 'absent')}"
        )
    network.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    network.to(device or torch.device("cpu")).eval()
    losses = [float(entry["validation_loss"]) for entry in history]
    return FittedNetwork(
        network, settings, seed, tuple(channels), list(history), min(losses, default=math.nan)
    )


def fit_network(
    ground: EvidenceGround,
    settings: EvidenceSettings,
    seed: int,
    device: torch.device,
    report: Report = silent,
) -> FittedNetwork:
    """Train a network on a ground; on a CPU the same seed gives the same weights.

    Windows are drawn evenly among those that hold enough judged ground; AdamW (Loshchilov and Hutter 2019)
    with a short rise and a cosine fall of the learning rate. Blocks of ground are held out: what is known
    there is never asked for in training, and the weights that guess it best are kept. No deposit is read.

    Args:
        ground: the evidence.
        settings: how; the method is one of ``NETWORKS``.
        seed: of first weights, windows, masks and blocks.
        device: where.
        report: hears a line at each evaluation.

    Raises:
        UsageError: a ground smaller than a window, or with too little to learn from; settings that do not
            fit each other; a training that diverged.

    """
    for name in ("windows", "batch_size", "evaluations", "window_px"):
        require_count(name, getattr(settings, name))
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus), device_faults():
        torch.manual_seed(seed)
        network = network_of(settings, ground.channels)
        network.to(device)
        training = _Training(ground, network, settings, seed, device)
        history, state = training.run(report)
        network.load_state_dict(state)
    best = min(float(entry["validation_loss"]) for entry in history)
    return FittedNetwork(network.eval(), settings, seed, ground.channels, history, best)


def reconstruction_loss(
    expected: Tensor, observed: Tensor, is_asked: Tensor, sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Sums of the loss and counts of what is asked for, by source.

    Huber's loss (1964): squared up to one robust deviation, linear beyond, so that the anomalies looked for
    pull less on what is expected.

    Args:
        expected: (n, hidden channels, h, w).
        observed: of the same shape.
        is_asked: of the same shape; what stands elsewhere does not count, whatever it is.
        sizes: channels of each hidden source.

    Returns:
        sums (sources,) and counts (sources,), both float.

    """
    # filled before the loss, for infinity times 0 would not be 0
    wrong = F.huber_loss(expected, observed.where(is_asked, expected.detach()), reduction="none")
    sums = torch.stack([part.sum() for part in torch.split(wrong, list(sizes), 1)])
    counts = torch.stack([part.sum() for part in torch.split(is_asked, list(sizes), 1)])
    return sums, counts.to(sums.dtype)


def mean_over_sources(sums: Tensor, counts: Tensor) -> Tensor:
    """The mean loss, each source that is asked for weighing the same; 0 where nothing is."""
    is_there = counts > 0
    return (sums / counts.clamp(min=1)).sum() / is_there.sum().clamp(min=1)


@dataclass(frozen=True)
class _Batch:
    """Windows with what is asked of them; see `inference.evidence.networks.vit.MaskedViT` for the shapes."""

    values: Tensor
    known: Tensor
    is_hidden: Tensor
    is_asked: Tensor

    def part(self, begin: int, end: int) -> _Batch:
        return replace(self, **{name: value[begin:end] for name, value in vars(self).items()})


class _Training:
    """A training's data and steps."""

    def __init__(
        self,
        ground: EvidenceGround,
        network: EvidenceNetwork,
        settings: EvidenceSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network, self.settings, self.device = network, settings, device
        self.sizes = network.layout.hidden_sizes
        self.padded = padded_ground(ground, network.layout, settings.window_px, device)
        is_scored = ground.is_scored
        edge = settings.block_px or default_block_px(is_scored, settings.window_px)
        is_held_out = self.padded.pad(validation_ground(is_scored, edge, settings.validation_share, seed))
        is_scored = self.padded.pad(is_scored)
        self.asked_in_training = self._asked(~is_held_out)
        self.generator = np.random.default_rng([seed, 2])
        self.starts = _training_starts(self.padded, is_scored & ~is_held_out)
        drawing = np.random.default_rng([seed, 3])
        places = self.padded.sliding(is_scored & is_held_out, max(1, settings.window_px // 2))
        if len(places) > MOST_VALIDATION_WINDOWS:
            places = places[np.sort(drawing.permutation(len(places))[:MOST_VALIDATION_WINDOWS])]
        self.validation = self._batch(places, drawing, self._asked(is_held_out))

    def run(self, report: Report) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
        """All steps: the figures of the evaluations, and the weights of the best of them."""
        settings, network = self.settings, self.network
        steps = max(1, math.ceil(settings.windows / settings.batch_size))
        optimiser = torch.optim.AdamW(_groups(network, settings.weight_decay), lr=settings.learning_rate)
        evaluated = {math.ceil(steps * (k + 1) / settings.evaluations) for k in range(settings.evaluations)}
        history: list[dict[str, Any]] = []
        state: dict[str, Tensor] = {}
        total, since = torch.zeros((), device=self.device), 0
        begun = time.monotonic()
        network.train()
        for step in range(1, steps + 1):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * learning_rate_share(step, steps)
            total += self._step(optimiser)
            since += 1
            seconds = time.monotonic() - begun
            is_over = settings.time_limit_s is not None and seconds >= settings.time_limit_s
            if step not in evaluated and not is_over:
                continue
            loss, validation_loss = float(total) / since, self._validation_loss()
            _require_finite(step, loss, validation_loss, settings)
            if all(validation_loss < entry["validation_loss"] for entry in history):
                state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            entry = {"step": step, "loss": loss, "validation_loss": validation_loss, "seconds": seconds}
            history.append(entry)
            report(
                f"step {step} of {steps}: loss {loss:.4f}, validation loss {validation_loss:.4f}, "
                f"{seconds:.0f} s"
            )
            total, since = torch.zeros((), device=self.device), 0
            if is_over:
                break
        return history, state

    def _step(self, optimiser: torch.optim.Optimizer) -> Tensor:
        chosen = self.generator.integers(len(self.starts), size=self.settings.batch_size)
        batch = self._batch(self.starts[chosen], self.generator, self.asked_in_training)
        loss = mean_over_sources(*self._losses(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        return loss.detach()

    def _validation_loss(self) -> float:
        """Of all windows that hold ground held out, with masks that stay the same."""
        self.network.eval()
        with torch.inference_mode():
            parts = [
                torch.stack(self._losses(self.validation.part(begin, begin + _JUDGED_AT_ONCE)))
                for begin in range(0, len(self.validation.values), _JUDGED_AT_ONCE)
            ]
            sums, counts = torch.stack(parts).double().sum(0)
        if not counts.sum() > 0:
            raise UsageError(
                "nothing is known on the hidden patches of the ground held out, by which the weights are "
                "chosen: the layers are too sparse; hold out more with --validation-share, or larger --block"
            )
        self.network.train()
        return float(mean_over_sources(sums, counts))

    def _losses(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        expected = self.network(batch.values, batch.known, batch.is_hidden)
        return reconstruction_loss(expected, batch.values[:, : sum(self.sizes)], batch.is_asked, self.sizes)

    def _asked(self, is_of_part: NDArray[np.bool_]) -> Tensor:
        """(hidden channels, rows, cols) what is known in a part of the ground."""
        return self.padded.is_known & torch.from_numpy(is_of_part).to(self.device)

    def _batch(self, places: NDArray[np.int64], generator: np.random.Generator, asked: Tensor) -> _Batch:
        settings = self.settings
        rows, cols = places[:, 0].tolist(), places[:, 1].tolist()
        values, known, is_asked = (
            self.padded.cut(layers, rows, cols) for layers in (self.padded.values, self.padded.known, asked)
        )
        if not self.network.hides:
            return _Batch(values, known, torch.zeros(len(places), 1, 1, device=self.device), is_asked)
        edge = settings.window_px // settings.patch_px
        masks = random_masks(generator, len(places), edge, settings.mask_least, settings.mask_most)
        is_hidden = torch.from_numpy(masks).to(self.device)
        return _Batch(values, known, is_hidden, is_asked & as_cells(is_hidden, settings.patch_px)[:, None])


def learning_rate_share(step: int, steps: int) -> float:
    """Share of the highest learning rate in a step, from 1: a linear rise, then a cosine to 0."""
    rise = max(1, round(WARM_UP_SHARE * steps))
    if step <= rise:
        return step / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise + 1)))


def _training_starts(padded: PaddedGround, is_asked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where windows of training can begin: with enough judged ground, and something to ask for.

    Raises:
        UsageError: nowhere.

    """
    enough = padded.starts(padded.is_judged, LEAST_JUDGED)
    asked = padded.starts(is_asked, 0.0)
    width = padded.is_judged.shape[1]
    keys, others = (places[:, 0] * width + places[:, 1] for places in (enough, asked))
    starts = enough[np.isin(keys, others)]
    if len(starts) == 0:
        raise UsageError(
            f"no window of {padded.window_px} x {padded.window_px} cells is judged ground to "
            f"{LEAST_JUDGED:.0%} and holds known geochemistry or geophysics: give a smaller window"
        )
    return starts


def _groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay, biases and norms do not."""
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _require_finite(step: int, loss: float, validation_loss: float, settings: EvidenceSettings) -> None:
    if not (math.isfinite(loss) and math.isfinite(validation_loss)):
        raise UsageError(
            f"the training diverged: in step {step} the loss is {loss:g}, the validation loss "
            f"{validation_loss:g}; train with a learning rate below {settings.learning_rate:g}, and check "
            "the layers for extreme values"
        )
