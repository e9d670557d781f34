"""Methods that find what is anomalous without being shown a deposit, one per file, all used alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray

from inference.evidence.fitting import fit_network
from inference.evidence.fitting import restore as restore_network
from inference.evidence.methods.answers import FittedMethod, MethodAnswer, State
from inference.evidence.methods.isolation_forest import fit_isolation_forest, restore_isolation_forest
from inference.evidence.methods.mahalanobis import fit_mahalanobis, restore_mahalanobis
from inference.evidence.methods.network import NetworkMethod
from inference.evidence.methods.one_class_svm import fit_one_class_svm, restore_one_class_svm
from inference.evidence.methods.pca import fit_pca, restore_pca
from inference.evidence.methods.single_layer import fit_single_layer, restore_single_layer
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import (
    METHODS,
    EvidenceChannel,
    EvidenceGround,
    EvidenceSettings,
    Report,
    silent,
)
from inference.networks.checks import require_choice

__all__ = ["FittedMethod", "MethodAnswer", "State", "fit_method", "restore_method"]


def fit_method(
    method: str,
    ground: EvidenceGround,
    system: MineralSystem,
    settings: EvidenceSettings,
    seed: int,
    device: torch.device,
    report: Report = silent,
) -> FittedMethod:
    """Fit a method on a ground. No deposit is read.

    Args:
        method: one of ``METHODS``.
        ground: the evidence.
        system: its weights choose the layer of ``single_layer``; nothing else of a fitting depends on it.
        settings: how; the method there is not looked at.
        seed: of what is drawn by chance; without effect where ``settings.is_random`` is not.
        device: where networks compute.
        report: hears a line at each evaluation of a training.

    Raises:
        UsageError: no such method, options it does not have, or a ground it cannot be fitted on.

    """
    require_choice("method", method, METHODS)
    settings = replace(settings, method=method)
    if settings.is_network:
        return NetworkMethod(fit_network(ground, settings, seed, device, report))
    if method == "pca":
        return fit_pca(ground, settings)
    if method == "isolation_forest":
        return fit_isolation_forest(ground, settings, seed)
    if method == "one_class_svm":
        return fit_one_class_svm(ground, settings)
    if method == "mahalanobis":
        return fit_mahalanobis(ground, settings)
    return fit_single_layer(ground, system, settings)


def restore_method(
    settings: EvidenceSettings,
    channels: Sequence[EvidenceChannel],
    state: Mapping[str, NDArray[Any]],
    *,
    seed: int,
    device: torch.device,
    history: Sequence[dict[str, Any]] = (),
) -> FittedMethod:
    """A method as it was fitted, from what its ``state`` gave; every number is checked before it is used.

    Args:
        settings: it was fitted with.
        channels: of the ground it was fitted on.
        state: arrays by name.
        seed: it was fitted with.
        device: where a network is to compute.
        history: of its training.

    Raises:
        UsageError: no such method, or arrays that are not those of one with these settings and channels.

    """
    method, channels = settings.method, tuple(channels)
    require_choice("method", method, METHODS)
    if settings.is_network:
        fitted = restore_network(settings, channels, dict(state), seed=seed, history=history, device=device)
        return NetworkMethod(fitted)
    if method == "pca":
        return restore_pca(channels, state)
    if method == "isolation_forest":
        return restore_isolation_forest(channels, state)
    if method == "one_class_svm":
        return restore_one_class_svm(channels, state)
    if method == "mahalanobis":
        return restore_mahalanobis(channels, state)
    return restore_single_layer(channels, state)
