"""From digital numbers to radiance to reflectance at the top of the atmosphere.

    L = gain * DN + offset                     W m-2 sr-1 um-1
    rho = pi * L * d^2 / (ESUN * sin(e))

with the Earth-Sun distance d in astronomical units, the band's solar irradiance at one such unit ESUN in
W m-2 um-1 and the sun's elevation e (Chander, Markham and Helder 2009, Remote Sensing of Environment 113).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from db.errors import UsageError
from ingest.preprocess.solar import earth_sun_distance_au

LOWEST_SUN_DEG = 5.0
"""Below this elevation light and shade, not the ground, decide what is seen."""

FloatArray = npt.NDArray[np.float32]


class BandCoefficients(Protocol):
    """Radiometric coefficients of a band; esun None where nobody published it."""

    @property
    def band(self) -> str:
        """Name of the band."""
        ...

    @property
    def gain(self) -> float:
        """Radiance per digital number, W m-2 sr-1 um-1."""
        ...

    @property
    def offset(self) -> float:
        """Radiance at digital number 0, W m-2 sr-1 um-1."""
        ...

    @property
    def esun(self) -> float | None:
        """Solar irradiance in the band at one astronomical unit, W m-2 um-1."""
        ...


@dataclass(frozen=True)
class LinearCalibration:
    """value = scale * stored + offset, band by band; arrays (bands,)."""

    scale: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    @classmethod
    def of_stored(cls, band_count: int, value_offset: float, value_scale: float) -> LinearCalibration:
        """The calibration value = (stored + value_offset) * value_scale of all bands."""
        return cls(np.full(band_count, value_scale), np.full(band_count, value_offset * value_scale))

    def stacked(self, other: LinearCalibration) -> LinearCalibration:
        """The calibration of this one's bands followed by another's."""
        return LinearCalibration(
            np.concatenate([self.scale, other.scale]), np.concatenate([self.offset, other.offset])
        )

    def apply(self, stored: npt.NDArray[Any]) -> FloatArray:
        """Calibrate stored values (bands, height, width); NaN stays NaN.

        Raises:
            ValueError: another number of bands.

        """
        if len(stored) != len(self.scale):
            raise ValueError(f"calibration of {len(self.scale)} bands, pixels of {len(stored)}")
        values: FloatArray = np.multiply(
            stored, self.scale[:, None, None].astype(np.float32), dtype=np.float32
        )
        values += self.offset[:, None, None].astype(np.float32)
        return values

    def of_bands(self, places: Sequence[int]) -> LinearCalibration:
        """The calibration of some bands (places from 0)."""
        chosen = list(places)
        return LinearCalibration(scale=self.scale[chosen], offset=self.offset[chosen])

    def as_json(self) -> dict[str, Any]:
        """Scale and offset for the catalogue."""
        return {"scale": self.scale.tolist(), "offset": self.offset.tolist()}


def reflectance_factors(
    coefficients: Sequence[BandCoefficients], moment: datetime, sun_elevation_deg: float
) -> LinearCalibration:
    """The calibration from digital numbers to reflectance at the top of the atmosphere.

    Args:
        coefficients: of the bands, in order.
        moment: of acquisition, with time zone.
        sun_elevation_deg: above the horizon, at the scene's centre.

    Raises:
        UsageError: a band lacks its solar irradiance, a coefficient cannot be right, or the sun stands too
            low.

    """
    if sun_elevation_deg > 90.0:
        raise UsageError(f"the sun cannot stand at {sun_elevation_deg:.1f} degrees above the horizon")
    if not sun_elevation_deg >= LOWEST_SUN_DEG:
        raise UsageError(
            f"the sun stands at {sun_elevation_deg:.1f} degrees: below {LOWEST_SUN_DEG:g} there is no usable "
            "reflectance (is that number perhaps the zenith angle?)"
        )
    missing = [each.band for each in coefficients if each.esun is None]
    if missing:
        raise UsageError(
            f"the solar irradiance (esun) of band {', '.join(missing)} is not known: state it in "
            "lode.calibration"
        )
    for each in coefficients:
        if not (math.isfinite(each.gain) and each.gain > 0 and math.isfinite(each.offset)):
            raise UsageError(
                f"band {each.band}: gain {each.gain:g} and offset {each.offset:g} are no calibration: a gain "
                "is above 0"
            )
        if not (each.esun and math.isfinite(each.esun) and each.esun > 0):
            raise UsageError(f"band {each.band}: a solar irradiance (esun) of {each.esun} cannot be right")
    distance = earth_sun_distance_au(moment)
    esun = np.array([each.esun for each in coefficients], np.float64)
    factor = np.pi * distance**2 / (esun * np.sin(np.radians(sun_elevation_deg)))
    gain = np.array([each.gain for each in coefficients])
    offset = np.array([each.offset for each in coefficients])
    return LinearCalibration(gain * factor, offset * factor)
