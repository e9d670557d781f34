"""Learning where ore lies from a set of patches, and judging what was learned; nothing is stored here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from db.errors import UsageError
from inference.prospect.baselines import PlainTrial, fit_plain
from inference.prospect.channels import Channel
from inference.prospect.dataset import PatchSet
from inference.prospect.figures import Judged
from inference.prospect.normalise import ChannelScales, training_scales
from inference.prospect.patches import cut
from inference.prospect.search import Trial, search_grid
from inference.prospect.settings import GridSettings, ProspectSettings
from inference.prospect.train import (
    LabelledPatches,
    ProspectEpoch,
    choose_threshold,
    fit_network,
    require_both_classes,
)
from inference.prospect.trained import NetworkScorer, PlainScorer, ProspectModel
from inference.training.blocks import SPLIT_NAMES, TEST, TRAIN, VALIDATION

MAJORITY_THRESHOLD = 0.5


@dataclass(frozen=True)
class LearningReport:
    """Who hears how a training goes on.

    Attributes:
        line: takes a line of text.
        epoch: takes the figures of each epoch of the last training, and how many there may be.

    """

    line: Callable[[str], None] = lambda _line: None
    epoch: Callable[[ProspectEpoch, int], None] = lambda _epoch, _epochs: None


@dataclass(frozen=True)
class Learned:
    """A model with how it came about.

    Attributes:
        model: ready to judge, ``model_id`` 0.
        settings: it was trained with; width and learning rate are those that the grid chose.
        options: the network was built with, or that were chosen for the plain model.
        history: of the epochs; none for plain models.
        best: the epoch that was kept; None for plain models.
        trials: what was tried, in order; empty without a grid.

    """

    model: ProspectModel
    settings: ProspectSettings
    options: dict[str, Any]
    history: tuple[ProspectEpoch, ...] = ()
    best: ProspectEpoch | None = None
    trials: tuple[Trial | PlainTrial, ...] = ()


def learn(
    patches: PatchSet,
    settings: ProspectSettings,
    *,
    device: torch.device,
    name: str = "",
    grid: GridSettings | None = None,
    places: Sequence[int] | None = None,
    report: LearningReport = LearningReport(),
) -> Learned:
    """Train a model on the training patches; choices are made on the validation patches.

    The test patches are not read. The channels' scales come from the ground of the training patches.

    Args:
        patches: the set.
        settings: how.
        device: where a network is trained.
        name: of the model, for messages.
        grid: widths and learning rates to try first; None: those of the settings. Plain models try their own.
        places: channels to learn from, in order; None: all.
        report: hears of the progress.

    Raises:
        UsageError: training or validation patches of one class only, a channel that tells nothing, options
            that do not exist, a training that diverged.

    """
    every = patches.ground.channels
    chosen = tuple(range(len(every))) if places is None else tuple(places)
    if not chosen:
        raise UsageError("no channel is left to learn from")
    channels = tuple(every[place] for place in chosen)
    for part in (TRAIN, VALIDATION):
        require_both_classes(patches.is_positive[patches.parts == part], SPLIT_NAMES[part])
    values = patches.ground.values if places is None else patches.ground.values[list(chosen)]
    is_training = patches.parts == TRAIN
    scales = training_scales(
        values,
        patches.rows[is_training],
        patches.cols[is_training],
        patches.patch_px,
        [channel.name for channel in channels],
    )
    training, validation = (_labelled(values, scales, patches, part) for part in (TRAIN, VALIDATION))
    unscored = ProspectModel(
        model_id=0,
        name=name,
        architecture=settings.network,
        channels=channels,
        patch_px=patches.patch_px,
        spacing_m=patches.ground.grid.resolution_x,
        normalisation=scales,
        threshold=MAJORITY_THRESHOLD,
        scorer=_NoScorer(),
    )
    if settings.is_network:
        learned = _learn_network(unscored, training, validation, settings, grid, device, report)
    else:
        learned = _learn_plain(unscored, training, validation, settings, report)
    if settings.network == "majority":
        return learned
    probabilities = learned.model.patch_probabilities(validation.values)
    threshold = choose_threshold(probabilities, validation.is_positive)
    return replace(learned, model=replace(learned.model, threshold=threshold))


def without_geology(channels: Sequence[Channel]) -> tuple[int, ...]:
    """Places of the channels that do not come from geology.

    Raises:
        UsageError: there are none, or there is no geology to leave out.

    """
    places = tuple(place for place, channel in enumerate(channels) if not channel.tells_geology)
    if len(places) == len(channels):
        raise UsageError("the set has no channels of geology: there is nothing to leave out")
    if not places:
        raise UsageError("the set has no channels but those of geology: none is left to learn from")
    return places


def judge(model: ProspectModel, patches: PatchSet, part: int = TEST) -> Judged:
    """A model's answers on one part of a set that it was trained on.

    Args:
        model: whose channels are among those of the set.
        patches: the set.
        part: `TEST`, which no choice may depend on, or another.

    """
    values, is_positive, blocks = part_of_set(model, patches, part)
    return Judged(
        is_positive=is_positive,
        probabilities=_answers(model, values),
        blocks=blocks,
        threshold=model.threshold,
    )


def part_of_set(
    model: ProspectModel, patches: PatchSet, part: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Standardised patches (n, nodes, channels) of one part, their labels and their blocks, each (n,).

    Raises:
        UsageError: the set lacks a channel of the model, or has patches of another size.

    """
    names = [channel.name for channel in patches.ground.channels]
    missing = [channel.name for channel in model.channels if channel.name not in names]
    if missing or patches.patch_px != model.patch_px:
        raise UsageError(
            f"the set {patches.name} has patches of {patches.patch_px} px"
            + (f" and no channel {', '.join(missing)}" if missing else "")
            + f": the model was trained on {model.patch_px} px"
        )
    is_of_part = patches.parts == part
    values = patches.ground.values_of(model.channels)
    labelled = _labelled(values, model.normalisation, patches, part)
    return labelled.values, labelled.is_positive, patches.blocks[is_of_part]


class _NoScorer:
    """Stands in until a model is trained."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: the model is not trained yet")


def _labelled(
    values: NDArray[np.float32], scales: ChannelScales, patches: PatchSet, part: int
) -> LabelledPatches:
    chosen = patches.parts == part
    cells = cut(values, patches.rows[chosen], patches.cols[chosen], patches.patch_px)
    return LabelledPatches(scales.standardise(cells, axis=-1), patches.is_positive[chosen])


def _answers(model: ProspectModel, values: NDArray[np.float32]) -> NDArray[np.float64]:
    if len(values) == 0:
        return np.zeros(0)
    return model.patch_probabilities(values).astype(np.float64)


def _learn_network(
    unscored: ProspectModel,
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    grid: GridSettings | None,
    device: torch.device,
    report: LearningReport,
) -> Learned:
    trials: list[Trial] = []
    if grid is not None:
        settings, trials = search_grid(
            training, validation, settings, grid, device, lambda trial: report.line(_trial_line(trial))
        )
        report.line(f"chosen: width {settings.width}, learning rate {settings.learning_rate:g}")
    fitted = fit_network(
        training, validation, settings, device, lambda epoch: report.epoch(epoch, settings.epochs)
    )
    model = replace(unscored, scorer=NetworkScorer(fitted.network, device))
    return Learned(model, settings, fitted.options, fitted.history, fitted.best, tuple(trials))


def _learn_plain(
    unscored: ProspectModel,
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    report: LearningReport,
) -> Learned:
    fitted, options, trials = fit_plain(
        training,
        validation,
        settings,
        unscored.channels,
        lambda trial: report.line(_plain_trial_line(trial)),
    )
    model = replace(unscored, scorer=PlainScorer(fitted))
    return Learned(model, settings, options, trials=tuple(trials))


def _trial_line(trial: Trial) -> str:
    said = f"width {trial.width}, learning rate {trial.learning_rate:g}: "
    if trial.validation_balanced_accuracy is None:
        return f"{said}the loss did not stay finite"
    return (
        f"{said}validation balanced accuracy {trial.validation_balanced_accuracy:.3f}, loss "
        f"{trial.validation_loss:.3f}, in epoch {trial.best_epoch} of {trial.epochs}"
    )


def _plain_trial_line(trial: PlainTrial) -> str:
    options = ", ".join(f"{name} {value:g}" for name, value in trial.options.items()) or "no options"
    return f"{options}: validation balanced accuracy {trial.validation_balanced_accuracy:.3f}"
