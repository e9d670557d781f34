"""Mean and spread of the bands a network was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError


@dataclass(frozen=True)
class Normalisation:
    """What turns the values of a scene into the network's input: (value - mean) / std, band by band.

    Attributes:
        band_names: the bands, in the network's order.
        means: mean of each band over the training blocks, in the scenes' unit after offset and scale.
        stds: standard deviation of each band, same unit, positive.
        medians: lowest and highest median of each band among the training scenes, same unit.
        darkest: lowest 5th percentile of each band among the training scenes, same unit.

    """

    band_names: tuple[str, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    medians: tuple[tuple[float, float], ...]
    darkest: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse statistics that would make nonsense of every pixel."""
        for name, mean, std in zip(self.band_names, self.means, self.stds, strict=True):
            if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
                raise UsageError(
                    f"band {name} has mean {mean} and standard deviation {std} in the training scenes: "
                    "a constant band tells nothing, leave it out with --bands"
                )

    @classmethod
    def of_samples(cls, band_names: tuple[str, ...], samples: list[NDArray[np.float32]]) -> Normalisation:
        """Statistics of the training scenes' values, one array (pixels, bands) a scene."""
        everything = np.concatenate(samples).astype(np.float64)
        medians = np.stack([np.median(part, axis=0) for part in samples])
        darkest = np.stack([np.quantile(part, 0.05, axis=0) for part in samples]).min(axis=0)
        return cls(
            band_names,
            tuple(everything.mean(axis=0).tolist()),
            tuple(everything.std(axis=0).tolist()),
            tuple(zip(medians.min(axis=0).tolist(), medians.max(axis=0).tolist(), strict=True)),
            tuple(darkest.tolist()),
        )

    def as_json(self) -> dict[str, Any]:
        """For the registry: per band name a dictionary of its figures."""
        return {
            name: {
                "mean": self.means[index],
                "std": self.stds[index],
                "medians": list(self.medians[index]),
                "darkest": self.darkest[index],
            }
            for index, name in enumerate(self.band_names)
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any], band_names: tuple[str, ...]) -> Normalisation:
        """What `as_json` stored, in the order of ``band_names``.

        Raises:
            UsageError: a band or a figure is missing.

        """
        try:
            bands = [stored[name] for name in band_names]
            return cls(
                tuple(band_names),
                tuple(float(band["mean"]) for band in bands),
                tuple(float(band["std"]) for band in bands),
                tuple((float(band["medians"][0]), float(band["medians"][1])) for band in bands),
                tuple(float(band["darkest"]) for band in bands),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UsageError(
                f"the stored normalisation lacks a figure ({error!r}): train the model again"
            ) from error
