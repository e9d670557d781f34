"""Several networks that answer as one: the weighted mean of their probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks.checks import check_tiles
from inference.networks.ensemble_member import Member, MemberInput
from inference.normalisation import Normalisation

LEAST_PROBABILITY = 1e-12
"""Smaller means count as this, so that their logarithms are finite."""
_OPTIONS = {"members", "band_names", "normalisation", "mapped_outputs"}
_WEIGHTS_TOLERANCE = 1e-6


class Ensemble(nn.Module):
    """log(sum_k w_k softmax(logits_k / T_k)), each softmax over the mapped outputs.

    The softmax of its answer over the mapped outputs is the weighted mean itself. Members run one after the
    other, so that memory holds the activations of one; those without weight do not run.

    Args:
        members: what is averaged; their weights add up to 1.
        networks: of each member, (n, its bands, h, w) -> logits (n, classes, h, w).
        normalisation: of the ensemble's input, from `common_normalisation`.
        mapped_outputs: places of the classes that may be answered, the same in all members.
        classes: number of outputs.

    Shapes:
        tiles (n, bands, h, w), normalised -> logarithms of probabilities (n, classes, h, w), float32.

    """

    places: Tensor

    def __init__(
        self,
        members: Sequence[Member],
        networks: Sequence[nn.Module],
        normalisation: Normalisation,
        mapped_outputs: Sequence[int],
        classes: int,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.inputs = nn.ModuleList(MemberInput(normalisation, one.normalisation) for one in members)
        self.weights = checked_weights([one.weight for one in members])
        self._temperatures = [one.temperature for one in members]
        self._in_channels = len(normalisation.band_names)
        self._classes = classes
        self.register_buffer("places", torch.tensor(list(mapped_outputs)), persistent=False)

    def weigh(self, weights: Sequence[float]) -> None:
        """Give the members other weights."""
        if len(weights) != len(self.networks):
            raise ValueError(f"{len(weights)} weights for {len(self.networks)} members")
        self.weights = checked_weights(weights)

    def forward(self, tiles: Tensor) -> Tensor:
        """Logarithms of the mean probabilities, in the places of logits; of other outputs the least."""
        is_filled = self._is_filled(tiles)
        # a zero that takes device and size from the tiles
        mean = tiles.new_zeros((), dtype=torch.float32)
        for number, weight in enumerate(self.weights):
            if weight:
                mean = mean + weight * self._of_member(number, tiles, is_filled)
        logs = mean.clamp_min(LEAST_PROBABILITY).log()
        shape = (logs.shape[0], self._classes, *logs.shape[2:])
        everything = logs.new_full(shape, math.log(LEAST_PROBABILITY))
        return everything.index_copy(1, self.places, logs)

    def member_probabilities(self, tiles: Tensor) -> Tensor:
        """Probabilities (n, members, mapped outputs, h, w), float32, that each member gives alone."""
        is_filled = self._is_filled(tiles)
        each = [self._of_member(number, tiles, is_filled) for number in range(len(self.networks))]
        return torch.stack(each, dim=1)

    def _is_filled(self, tiles: Tensor) -> Tensor:
        """(n, 1, h, w): pixels without data, see `SceneSource.read_normalised`."""
        check_tiles(tiles, in_channels=self._in_channels, minimum_px=1, training=False)
        return (tiles == 0).all(dim=1, keepdim=True)

    def _of_member(self, number: int, tiles: Tensor, is_filled: Tensor) -> Tensor:
        logits = self.networks[number](self.inputs[number](tiles, is_filled))
        # to float32 before anything is added up: bfloat16 knows three digits
        mapped = logits.index_select(1, self.places).float()
        return torch.softmax(mapped / self._temperatures[number], dim=1)


def checked_weights(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights as they are.

    Raises:
        UsageError: one lies outside of 0 to 1, or they do not add up to 1.

    """
    total = math.fsum(weights)
    if not (all(0 <= weight <= 1 for weight in weights) and abs(total - 1) <= _WEIGHTS_TOLERANCE):
        given = ", ".join(f"{weight:g}" for weight in weights)
        raise UsageError(
            f"the weights of the ensemble are {given}: each must lie in 0 to 1, and their sum be 1"
        )
    return tuple(weights)


def ensemble_options(
    members: Sequence[Member], normalisation: Normalisation, mapped_outputs: Sequence[int]
) -> dict[str, Any]:
    """Options of an ensemble for the registry; `build_ensemble` builds it from them.

    The ensemble's own bands and normalisation are among them, though they follow from the members' today: an
    ensemble must mean the same when they are chosen in another way one day.
    """
    return {
        "members": [one.as_json() for one in members],
        "band_names": list(normalisation.band_names),
        "normalisation": normalisation.as_json(),
        "mapped_outputs": list(mapped_outputs),
    }


def build_ensemble(
    build: Callable[..., nn.Module], in_channels: int, classes: int, options: Mapping[str, Any]
) -> Ensemble:
    """An ensemble with fresh weights in its members' networks.

    Args:
        build: builds a member's network; `build_network`.
        in_channels: number of bands.
        classes: number of outputs.
        options: from `ensemble_options`.

    Raises:
        UsageError: options that are not those of an ensemble, or do not fit each other.

    """
    if set(options) != _OPTIONS:
        raise UsageError(
            f"an ensemble is built from the options {', '.join(sorted(_OPTIONS))}, got "
            f"{', '.join(sorted(options)) or 'none'}: make it of trained networks with `lode model ensemble`"
        )
    members = [Member.from_json(one) for one in options["members"]]
    if len(members) < 2:
        raise UsageError(f"an ensemble needs at least two members, got {len(members)}")
    band_names = tuple(options["band_names"])
    if in_channels != len(band_names):
        raise UsageError(
            f"the ensemble takes the {len(band_names)} bands {', '.join(band_names)}, got {in_channels} bands"
        )
    places = list(options["mapped_outputs"])
    if not places or len(set(places)) < len(places) or not set(places) <= set(range(classes)):
        raise UsageError(
            f"the mapped outputs of the ensemble are {places}: they must be different places among {classes}"
        )
    networks = [
        build(one.architecture, in_channels=len(one.band_names), classes=classes, **one.options)
        for one in members
    ]
    return Ensemble(
        members, networks, Normalisation.from_json(options["normalisation"], band_names), places, classes
    )
