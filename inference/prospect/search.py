"""Choosing width and learning rate by trials that the validation patches alone judge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import torch

from inference.prospect.settings import GridSettings, ProspectSettings
from inference.prospect.train import DivergedError, LabelledPatches, fit_network


@dataclass(frozen=True)
class Trial:
    """What one width and learning rate came to, in the trial's epoch of least validation loss.

    Attributes:
        width: channels of the widest layer.
        learning_rate: of Adam.
        epochs: that were trained.
        best_epoch: that epoch; None: the trial's loss did not stay finite, as in the next two.
        validation_balanced_accuracy: at a probability of 0.5.
        validation_loss: the least.

    """

    width: int
    learning_rate: float
    epochs: int
    best_epoch: int | None = None
    validation_balanced_accuracy: float | None = None
    validation_loss: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)


def search_grid(
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    grid: GridSettings,
    device: torch.device,
    on_trial: Callable[[Trial], None] | None = None,
) -> tuple[ProspectSettings, list[Trial]]:
    """Try every pair; gives the settings with the best one, and all trials.

    The best has the least loss on the validation patches: where these are few, trials differ in balanced
    accuracy by single patches. The test patches are not looked at.

    Args:
        training: to learn from.
        validation: to judge by.
        settings: of the last training; its width and learning rate are replaced, and its other choices hold
            for the trials too, except the number of epochs, see `GridSettings.epochs`.
        grid: what is tried.
        device: where.
        on_trial: called after each trial.

    Raises:
        DivergedError: no trial's loss stayed finite.
        UsageError: as `fit_network`.

    """
    trials = []
    for width, rate in product(grid.widths, grid.learning_rates):
        tried = replace(settings, width=width, learning_rate=rate, epochs=grid.trial_epochs(settings.epochs))
        trial = _tried(training, validation, tried, device)
        trials.append(trial)
        if on_trial is not None:
            on_trial(trial)
    best = min(trials, key=_rank)
    if best.validation_loss is None:
        raise DivergedError(
            f"the loss of none of {len(trials)} trials stayed finite: check the channels for extreme values"
        )
    return replace(settings, width=best.width, learning_rate=best.learning_rate), trials


def _tried(
    training: LabelledPatches, validation: LabelledPatches, settings: ProspectSettings, device: torch.device
) -> Trial:
    try:
        fitted = fit_network(training, validation, settings, device)
    except DivergedError:
        return Trial(settings.width, settings.learning_rate, settings.epochs)
    return Trial(
        width=settings.width,
        learning_rate=settings.learning_rate,
        epochs=len(fitted.history),
        best_epoch=fitted.best.epoch,
        validation_balanced_accuracy=fitted.best.validation_balanced_accuracy,
        validation_loss=fitted.best.validation_loss,
    )


def _rank(trial: Trial) -> float:
    """The less, the better."""
    return math.inf if trial.validation_loss is None else trial.validation_loss
