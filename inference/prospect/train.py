"""Training a network on patches: epochs of steps, judged on the validation patches, the best one kept."""

from __future__ import annotations

import copy
import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from db.errors import UsageError
from inference.device import device_faults
from inference.prospect.networks import PatchGcn, build_prospect_network
from inference.prospect.settings import WIDTH_OPTION, ProspectSettings

SYMMETRIES = 8
"""Turns and mirror images of a square."""
_JUDGED_AT_ONCE = 1024


class DivergedError(UsageError):
    """The loss of a training is no longer finite."""


@dataclass(frozen=True)
class LabelledPatches:
    """Patches with their labels, ready to learn from.

    Attributes:
        values: (n, patch_px**2, channels) float32, standardised, without NaN; nodes in rows from the top.
        is_positive: (n,) whether a patch counts as ore-bearing.

    """

    values: NDArray[np.float32]
    is_positive: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_positive)

    @property
    def patch_px(self) -> int:
        """Edge of the patches, cells."""
        return math.isqrt(self.values.shape[1])


@dataclass(frozen=True)
class ProspectEpoch:
    """Figures of an epoch.

    Attributes:
        epoch: from 1.
        loss: mean over the training patches, while the weights still moved.
        validation_loss: over the validation patches, of the averaged weights; the classes weigh as before.
        validation_balanced_accuracy: there, at a probability of 0.5.
        seconds: it took.

    """

    epoch: int
    loss: float
    validation_loss: float
    validation_balanced_accuracy: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Attributes:
        network: with the averaged weights of the best epoch, in evaluation mode.
        options: it was built with, the width among them.
        history: of all epochs.
        best: the epoch of least validation loss; of equals the first.

    """

    network: nn.Module
    options: dict[str, Any]
    history: tuple[ProspectEpoch, ...]
    best: ProspectEpoch


def fit_network(
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    device: torch.device,
    on_epoch: Callable[[ProspectEpoch], None] | None = None,
) -> Fitted:
    """Train a network; on a CPU the same seed gives the same weights.

    Adam (Kingma and Ba 2015) at one learning rate on cross entropy, in which each class weighs as much as the
    other, however few patches it has. What is judged and kept are the moving averages of the weights over the
    steps (Polyak and Juditsky 1992): the weights themselves jump about at that rate, so that of a few
    validation patches one early, lucky epoch would win. Nothing is kept of a training that is killed: it
    takes minutes.

    Args:
        training: to learn from.
        validation: to choose the epoch by; from other blocks of ground.
        settings: how.
        device: where.
        on_epoch: called after each epoch.

    Raises:
        DivergedError: the loss is no longer finite.
        UsageError: one class only in training or validation, unknown options of the network, not enough
            memory.

    """
    require_both_classes(training.is_positive, "training")
    require_both_classes(validation.is_positive, "validation")
    options = {**settings.options, WIDTH_OPTION: settings.width}
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(gpus), device_faults():
        torch.manual_seed(settings.seed)
        network = build_prospect_network(
            settings.network,
            in_channels=training.values.shape[2],
            patch_px=training.patch_px,
            **options,
        )
        _begin_at_even_odds(network)
        network.to(device)
        history, best, state = _epochs(network, training, validation, settings, device, on_epoch)
        network.load_state_dict(state)
    return Fitted(network.eval(), options, tuple(history), best)


def require_both_classes(is_positive: NDArray[np.bool_], part: str) -> None:
    """Refuse patches from which two classes cannot be told apart.

    Raises:
        UsageError: none at all, only positive ones, or only negative ones.

    """
    if is_positive.any() and not is_positive.all():
        return
    if len(is_positive) == 0:
        lack = "no patches"
    else:
        lack = f"{len(is_positive)} patches, all {'with' if is_positive.all() else 'without'} ore"
    raise UsageError(
        f"the {part} part has {lack}: both kinds are needed; make the set with smaller blocks, another seed "
        "or more deposits"
    )


def class_weights(is_positive: NDArray[np.bool_]) -> tuple[float, float]:
    """Weights of barren and ore-bearing patches by inverse frequency; their mean over all patches is 1."""
    positives = int(is_positive.sum())
    return len(is_positive) / (2 * (len(is_positive) - positives)), len(is_positive) / (2 * positives)


def network_probabilities(
    network: nn.Module, values: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """Probability of ore (n,) of patches (n, nodes, channels)."""
    return _softmax(_logits(network, torch.from_numpy(values), device))


def balanced_accuracy(is_positive: NDArray[np.bool_], is_called: NDArray[np.bool_]) -> float:
    """Mean of the shares of ore-bearing and of barren patches that are called so."""
    return float((is_called[is_positive].mean() + (~is_called[~is_positive]).mean()) / 2)


def choose_threshold(probabilities: NDArray[np.floating[Any]], is_positive: NDArray[np.bool_]) -> float:
    """The probability from which patches are called ore-bearing, chosen on validation patches.

    That of the highest balanced accuracy, for unlike F1 it does not depend on how many barren patches were
    drawn. Thresholds that part the patches alike are one, at the middle between two probabilities; one that
    calls all patches alike is not considered, but 0.5 is. Of equally good ones that nearest to 0.5 is taken.

    Args:
        probabilities: (n,) of the validation patches.
        is_positive: (n,) their labels; both classes.

    """
    levels = np.unique(probabilities)
    middles = (levels[1:] + levels[:-1]) / 2
    # rounding may have put the middle on the lower one, which it must exclude
    candidates = np.concatenate([[0.5], np.where(middles > levels[:-1], middles, levels[1:])])
    ordered_ore = np.sort(probabilities[is_positive])
    ordered_barren = np.sort(probabilities[~is_positive])
    found = 1 - np.searchsorted(ordered_ore, candidates) / len(ordered_ore)
    spared = np.searchsorted(ordered_barren, candidates) / len(ordered_barren)
    scores = np.round((found + spared) / 2, 12)
    best = candidates[scores == scores.max()]
    return float(best[np.abs(best - 0.5).argmin()])


def _begin_at_even_odds(network: nn.Module) -> None:
    """Make the first answers of a graph network uncertain ones.

    It adds up its nodes, so that with fresh weights the logits lie as many times too far apart as there are
    nodes, a hundred times: the first losses are then 6 and more, and the running means of batch
    normalisation follow too late, so that the epoch of least validation loss is often the first.
    """
    if isinstance(network, PatchGcn):
        with torch.no_grad():
            network.head.weight /= network.patch_px**2


def _epochs(
    network: nn.Module,
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    device: torch.device,
    on_epoch: Callable[[ProspectEpoch], None] | None,
) -> tuple[list[ProspectEpoch], ProspectEpoch, dict[str, Tensor]]:
    """All epochs, the best of them, and the weights it left."""
    weights = torch.tensor(class_weights(training.is_positive), device=device)
    loss = nn.CrossEntropyLoss(weights)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    averaged = AveragedModel(
        network, avg_fn=functools.partial(_averaged, settings.weight_averaging), use_buffers=True
    )
    values = torch.from_numpy(training.values).to(device)
    labels = torch.from_numpy(training.is_positive.astype(np.int64)).to(device)
    judged = torch.from_numpy(validation.values).to(device)
    truth = torch.from_numpy(validation.is_positive.astype(np.int64)).to(device)
    history: list[ProspectEpoch] = []
    best: ProspectEpoch | None = None
    state: dict[str, Tensor] = {}
    begun = time.monotonic()
    for number in range(1, settings.epochs + 1):
        started = time.monotonic()
        total = torch.zeros((), device=device)
        network.train()
        for places, symmetries in _batches(len(training), settings, number):
            batch = values[torch.from_numpy(places).to(device)]
            if settings.is_augmented:
                batch = turned(batch, symmetries)
            step_loss = loss(network(batch), labels[torch.from_numpy(places).to(device)])
            optimiser.zero_grad(set_to_none=True)
            step_loss.backward()
            optimiser.step()
            averaged.update_parameters(network)
            total += step_loss.detach() * len(places)
        logits = _logits(averaged.module, judged, device)
        validation_loss = float(F.cross_entropy(logits, truth, weights))
        epoch_loss = float(total) / len(training)
        if not (math.isfinite(epoch_loss) and math.isfinite(validation_loss)):
            raise DivergedError(
                f"the loss is no longer finite in epoch {number} (training {epoch_loss:g}, validation "
                f"{validation_loss:g}): train with a learning rate below {settings.learning_rate:g}, and "
                "check the channels for extreme values"
            )
        called = _softmax(logits) >= 0.5
        epoch = ProspectEpoch(
            epoch=number,
            loss=epoch_loss,
            validation_loss=validation_loss,
            validation_balanced_accuracy=balanced_accuracy(validation.is_positive, called),
            seconds=time.monotonic() - started,
        )
        history.append(epoch)
        if best is None or validation_loss < best.validation_loss:
            best, state = epoch, copy.deepcopy(averaged.module.state_dict())
        if on_epoch is not None:
            on_epoch(epoch)
        if settings.patience is not None and number - best.epoch >= settings.patience:
            break
        if settings.time_limit_s is not None and time.monotonic() - begun >= settings.time_limit_s:
            break
    if best is None:
        raise RuntimeError("a training without epochs")
    return history, best, state


def _averaged(share: float, before: Tensor, now: Tensor, steps: Tensor) -> Tensor:
    """Moving average of a weight after so many ``steps``; the first ones keep less, for they are far off."""
    if not now.is_floating_point():  # how many batches a normalisation has seen
        return now
    kept = torch.clamp((1 + steps) / (10 + steps), max=share)
    return torch.lerp(now, before, kept.to(now.dtype))


def _batches(
    patches: int, settings: ProspectSettings, epoch: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Patches of each step of an epoch in a new order, and how each is turned; steps are of like size."""
    rng = np.random.default_rng((settings.seed, epoch))
    order = rng.permutation(patches)
    symmetries = rng.integers(SYMMETRIES, size=patches)
    steps = math.ceil(patches / settings.batch_size)
    # a last step of one patch would leave batch normalisation nothing to go by
    for part in np.array_split(np.arange(patches), steps):
        yield order[part], symmetries[part]


def turned(values: Tensor, symmetries: NDArray[np.int64]) -> Tensor:
    """Patches (n, nodes, channels), each turned by ``s % 4`` quarters and, from 4 on, mirrored before."""
    px = math.isqrt(values.shape[1])
    squares = values.reshape(len(values), px, px, -1)
    result = torch.empty_like(squares)
    for symmetry in range(SYMMETRIES):
        chosen = torch.from_numpy(np.flatnonzero(symmetries == symmetry)).to(values.device)
        part = squares[chosen]
        part = part.flip(2) if symmetry >= 4 else part
        result[chosen] = torch.rot90(part, symmetry % 4, (1, 2))
    return result.flatten(1, 2)


def _logits(network: nn.Module, values: Tensor, device: torch.device) -> Tensor:
    network.eval()
    with torch.no_grad(), device_faults():
        parts = [
            network(values[first : first + _JUDGED_AT_ONCE].to(device)).float()
            for first in range(0, len(values), _JUDGED_AT_ONCE)
        ]
        return torch.cat(parts)


def _softmax(logits: Tensor) -> NDArray[np.float32]:
    """Probability of ore (n,) of logits (n, 2)."""
    return np.asarray(logits.softmax(1)[:, 1].cpu().numpy(), np.float32)
