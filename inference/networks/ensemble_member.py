"""A trained network as part of an ensemble: what is kept of it, and its input made from the ensemble's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import UsageError
from inference.normalisation import Normalisation
from inference.scene_source import VALUE_LIMIT_STD

ENSEMBLE = "ensemble"
"""Name of the architecture."""


@dataclass(frozen=True)
class Member:
    """A trained network as part of an ensemble, as it was when the ensemble was made.

    Attributes:
        name: in the registry.
        sha256: of its weights.
        architecture, options: what `build_network` builds it from.
        band_names: its bands, in its order.
        normalisation: of its input.
        temperature: what its logits are divided by.
        weight: its share in the mean, 0 to 1.

    """

    name: str
    sha256: str
    architecture: str
    options: Mapping[str, Any]
    band_names: tuple[str, ...]
    normalisation: Normalisation
    temperature: float
    weight: float

    def __post_init__(self) -> None:
        """Refuse what cannot be a part of a mean."""
        if self.architecture == ENSEMBLE:
            raise UsageError(f"member {self.name} is an ensemble itself: name its members instead")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(f"member {self.name} has the temperature {self.temperature}: it must be above 0")
        if not 0 <= self.weight <= 1:
            raise UsageError(f"member {self.name} has the weight {self.weight}: it must lie in 0 to 1")

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "options": dict(self.options),
            "band_names": list(self.band_names),
            "normalisation": self.normalisation.as_json(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Member:
        """What `as_json` stored.

        Raises:
            UsageError: it is not that.

        """
        try:
            band_names = tuple(str(name) for name in stored["band_names"])
            return cls(
                name=str(stored["name"]),
                sha256=str(stored["sha256"]),
                architecture=str(stored["architecture"]),
                options=dict(stored["options"]),
                band_names=band_names,
                normalisation=Normalisation.from_json(stored["normalisation"], band_names),
                temperature=float(stored["temperature"]),
                weight=float(stored["weight"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"a stored member of an ensemble cannot be read ({error!r}): make the ensemble again"
            ) from error


def common_normalisation(members: Sequence[Normalisation]) -> Normalisation:
    """A normalisation from which that of every member can be had.

    Bands are those of the first member, then those that each further member adds. The mean lies midway
    between the members' means. The deviation is so large that nothing is limited away that a member tells
    apart: what lies within `VALUE_LIMIT_STD` of its deviations from its mean lies within as many of the
    ensemble's. Of medians and darkest values the outermost count: a scene must look like one that some member
    was trained on, see `scene_checks.check_values`.
    """
    figures: dict[str, list[tuple[float, float, tuple[float, float], float]]] = {}
    for one in members:
        statistics = zip(one.means, one.stds, one.medians, one.darkest, strict=True)
        for name, values in zip(one.band_names, statistics, strict=True):
            figures.setdefault(name, []).append(values)
    means, stds, medians, darkest = [], [], [], []
    for found in figures.values():
        band_means = [mean for mean, _, _, _ in found]
        middle = (min(band_means) + max(band_means)) / 2
        means.append(middle)
        stds.append(max(std + abs(mean - middle) / VALUE_LIMIT_STD for mean, std, _, _ in found))
        medians.append((min(low for _, _, (low, _), _ in found), max(high for _, _, (_, high), _ in found)))
        darkest.append(min(dark for _, _, _, dark in found))
    return Normalisation(tuple(figures), tuple(means), tuple(stds), tuple(medians), tuple(darkest))


class MemberInput(nn.Module):
    """A member's input, made from the ensemble's: its bands, on its own scale.

    value = x * std + mean is what the scene held; (value - mean_m) / std_m is what the member takes. Both in
    one step, in float32 like `SceneSource.read_normalised`. What that filled is 0, the mean, in all bands of
    the ensemble, and is the member's own mean again. A pixel with data that is exactly 0 in all bands, rarer
    than rare, is moved by the difference of the two means.

    Args:
        of_ensemble: normalisation of what comes in.
        of_member: normalisation of what goes out; its bands are among those.

    """

    channels: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, of_ensemble: Normalisation, of_member: Normalisation) -> None:
        super().__init__()
        unknown = [name for name in of_member.band_names if name not in of_ensemble.band_names]
        if unknown:
            raise UsageError(
                f"a member needs the bands {', '.join(unknown)}, the ensemble has "
                f"{', '.join(of_ensemble.band_names)}: make the ensemble again"
            )
        channels = [of_ensemble.band_names.index(name) for name in of_member.band_names]
        # rounded to float32 first, as where scenes are read
        mean, std = (_rounded(values)[channels] for values in (of_ensemble.means, of_ensemble.stds))
        own_mean, own_std = _rounded(of_member.means), _rounded(of_member.stds)
        # rebuilt from the members' statistics, so not among the weights
        self.register_buffer("channels", torch.tensor(channels), persistent=False)
        self.register_buffer("scale", _per_band(std / own_std), persistent=False)
        self.register_buffer("shift", _per_band((mean - own_mean) / own_std), persistent=False)

    def forward(self, tiles: Tensor, is_filled: Tensor) -> Tensor:
        """Input (n, bands of the member, h, w) from tiles (n, bands, h, w) and where these are filled."""
        own = tiles.float().index_select(1, self.channels) * self.scale + self.shift
        own = own.clamp(-VALUE_LIMIT_STD, VALUE_LIMIT_STD).masked_fill(is_filled, 0.0)
        return own.contiguous(memory_format=torch.channels_last)


def _rounded(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, np.float32).astype(np.float64)


def _per_band(values: NDArray[np.float64]) -> Tensor:
    # by way of a list, so that it comes into being on the device that torch is told to use
    return torch.tensor(values.tolist(), dtype=torch.float32)[:, None, None]
