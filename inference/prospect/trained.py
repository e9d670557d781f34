"""Trained models that tell where ore may lie: out of the registry, ready to judge patches and ground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import psycopg
import torch
from numpy.typing import NDArray
from psycopg.rows import TupleRow
from torch import nn

from db.errors import UsageError
from db.registry import StoredModel, load_model, require_in_service
from inference.prospect.baselines import PlainModel, load_plain
from inference.prospect.channels import Channel
from inference.prospect.networks import build_prospect_network
from inference.prospect.normalise import ChannelScales
from inference.prospect.patches import LEAST_VALID, cut, positions, window_counts
from inference.prospect.score import score_ground, score_patches
from inference.prospect.settings import ESTIMATORS, NETWORKS, PROSPECT
from inference.prospect.train import network_probabilities
from inference.weights import load_weights, weights_to_bytes

BATCH = 256
"""Patches at once."""
Progress = Callable[[float], None]


class Scorer(Protocol):
    """What gives probabilities of ore: a network, or a plain model."""

    def patch_probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) of standardised patches (n, nodes, channels)."""

    def at(
        self,
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
        patch_px: int,
    ) -> NDArray[np.float32]:
        """(n,) of patches of a standardised raster (channels, height, width)."""

    def ground(
        self,
        values: NDArray[np.float32],
        is_valid: NDArray[np.bool_],
        patch_px: int,
        stride_px: int,
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """(positions down, positions across) of all patches, NaN where too few cells are valid."""

    def as_bytes(self) -> bytes:
        """For the registry."""


@dataclass(frozen=True)
class NetworkScorer:
    """A network on its device, in evaluation mode."""

    network: nn.Module
    device: torch.device

    def patch_probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Scorer`."""
        return network_probabilities(self.network, values, self.device)

    def at(
        self,
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
        patch_px: int,
    ) -> NDArray[np.float32]:
        """See `Scorer`."""
        return score_patches(self.network, values, rows, cols, patch_px, self.device, BATCH)

    def ground(
        self,
        values: NDArray[np.float32],
        is_valid: NDArray[np.bool_],
        patch_px: int,
        stride_px: int,
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """See `Scorer`."""
        return score_ground(
            self.network,
            values,
            is_valid,
            patch_px=patch_px,
            stride_px=stride_px,
            device=self.device,
            progress=progress,
        )

    def as_bytes(self) -> bytes:
        """A safetensors file."""
        return weights_to_bytes(self.network)


@dataclass(frozen=True)
class PlainScorer:
    """A support vector machine, a forest or the commonest answer; computes on the processor."""

    model: PlainModel

    def patch_probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Scorer`."""
        return self.model.patch_probabilities(values)

    def at(
        self,
        values: NDArray[np.float32],
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
        patch_px: int,
    ) -> NDArray[np.float32]:
        """See `Scorer`."""
        found = np.empty(len(rows), np.float32)
        for first in range(0, len(rows), BATCH):
            part = slice(first, first + BATCH)
            found[part] = self.model.patch_probabilities(cut(values, rows[part], cols[part], patch_px))
        return found

    def ground(
        self,
        values: NDArray[np.float32],
        is_valid: NDArray[np.bool_],
        patch_px: int,
        stride_px: int,
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """See `Scorer`."""
        height, width = is_valid.shape
        rows, cols = positions(height, width, patch_px, stride_px)
        across = (width - patch_px) // stride_px + 1
        is_full = window_counts(is_valid, rows, cols, patch_px) >= LEAST_VALID * patch_px**2
        scores = np.full(len(rows), np.nan, np.float32)
        for first in range(0, len(rows), across):
            part = np.flatnonzero(is_full[first : first + across]) + first
            if len(part):
                scores[part] = self.at(values, rows[part], cols[part], patch_px)
            if progress is not None:
                progress((first + across) / len(rows))
        return scores.reshape(-1, across)

    def as_bytes(self) -> bytes:
        """A skops file."""
        return self.model.as_bytes()


@dataclass(frozen=True)
class ProspectModel:
    """A trained model with what it takes to feed it and to read its answer.

    Probabilities are those of ground where ore-bearing and barren patches are equally common, for both
    classes weighed alike in training: they rank ground, and are no frequencies.

    Attributes:
        model_id, name: key and name in the registry; 0 for one that is not stored.
        architecture: one of `NETWORKS` or `ESTIMATORS`.
        channels: inputs, in order.
        patch_px: edge of the patches, cells.
        spacing_m: cell width it was trained on, m.
        normalisation: of the channels.
        threshold: probability from which a patch is called ore-bearing, chosen on validation patches.
        scorer: what computes.

    """

    model_id: int
    name: str
    architecture: str
    channels: tuple[Channel, ...]
    patch_px: int
    spacing_m: float
    normalisation: ChannelScales
    threshold: float
    scorer: Scorer

    def standardise(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A raster (channels, height, width) as the model takes it, see `ChannelScales.standardise`."""
        return self.normalisation.standardise(values)

    def patch_probabilities(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of ore (n,) of standardised patches (n, patch_px**2, channels)."""
        return self.scorer.patch_probabilities(patches)

    def probabilities(
        self,
        values_standardised: NDArray[np.float32],
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Probability of ore (n,) of the patches that begin at ``rows``, ``cols``.

        Args:
            values_standardised: (channels, height, width), without NaN.
            rows: (n,) first row, from 0.
            cols: (n,) first column.

        """
        return self.scorer.at(values_standardised, rows, cols, self.patch_px)

    def score(
        self,
        values_standardised: NDArray[np.float32],
        is_valid: NDArray[np.bool_],
        stride_px: int,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Probability of ore of all patches of a ground.

        Args:
            values_standardised: (channels, height, width), without NaN.
            is_valid: (height, width) cells that are judged and have all values.
            stride_px: steps of the patches, cells.
            progress: hears the share that is done, 0..1.

        Returns:
            (positions down, positions across), NaN where fewer than `LEAST_VALID` of the cells are valid.

        """
        return self.scorer.ground(values_standardised, is_valid, self.patch_px, stride_px, progress)


def load_prospect_model(conn: psycopg.Connection[TupleRow], name: str, device: torch.device) -> ProspectModel:
    """The model called ``name`` from the registry, checked, on a device.

    Args:
        conn: connection.
        name: of the model.
        device: where a network computes; plain models use the processor.

    Raises:
        UsageError: no such model, a retired one, another task, weights that fail their checksum, are of
            another form, do not fit or are not finite.

    """
    stored = load_model(conn, name)
    require_in_service(stored.record)
    return ready_prospect_model(stored, device)


def ready_prospect_model(stored: StoredModel, device: torch.device) -> ProspectModel:
    """What `load_prospect_model` does once the row is read."""
    record = stored.record
    what = f"model {record.name}"
    if record.task != PROSPECT:
        raise UsageError(
            f"{what} is for {record.task}, not for {PROSPECT}: choose one of lode train prospect"
        )
    channels = _channels(record.training, record.band_names, what)
    threshold = record.training.get("threshold")
    if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise UsageError(f"{what} does not say from which probability it calls ore: train it again")
    return ProspectModel(
        model_id=record.model_id,
        name=record.name,
        architecture=record.architecture,
        channels=channels,
        patch_px=record.tile_px,
        spacing_m=record.resolution_m,
        normalisation=ChannelScales.from_json(record.normalisation, record.band_names),
        threshold=float(threshold),
        scorer=_scorer(stored, channels, device, what),
    )


def _channels(training: dict[str, Any], names: list[str], what: str) -> tuple[Channel, ...]:
    stored = training.get("channels")
    if not isinstance(stored, list):
        raise UsageError(f"{what} does not say what its channels are: train it again")
    channels = tuple(Channel.from_json(each) for each in stored)
    if [channel.name for channel in channels] != names:
        raise UsageError(f"{what} names its channels in two ways: train it again")
    return channels


def _scorer(stored: StoredModel, channels: tuple[Channel, ...], device: torch.device, what: str) -> Scorer:
    record = stored.record
    if record.architecture in ESTIMATORS:
        return PlainScorer(load_plain(record.architecture, channels, stored.weights, what))
    if record.architecture not in NETWORKS:
        raise UsageError(f"{what} is a {record.architecture}, which this version does not know: upgrade it")
    network = build_prospect_network(
        record.architecture, in_channels=len(channels), patch_px=record.tile_px, **record.options
    )
    load_weights(network, stored.weights, what)
    return NetworkScorer(network.to(device).eval(), device)
