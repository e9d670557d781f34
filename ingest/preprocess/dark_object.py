"""Dark-object subtraction: what the air adds, from the darkest ground of the scene.

DOS: Chavez 1988, doi:10.1016/0034-4257(88)90019-3. COST: Chavez 1996 (Photogrammetric Engineering and Remote
Sensing 62(9)), which also divides by the transmittance, taken as the cosine of the sun's zenith angle. The
darkest ground is taken to reflect one per cent. What the air adds must fall with the wavelength: a band whose
darkest pixels say otherwise (no dark ground in it) is held to the power law of its neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]

DARK_REFLECTANCE = 0.01
FEWEST_PX = 1000
_DARKEST_PX = 20
_DARKEST_SHARE = 1e-4
_LEAST_TRANSMITTANCE = 0.2


@dataclass(frozen=True)
class DarkObject:
    """surface = (value - path) / transmittance.

    Attributes:
        path: what the air adds, reflectance, by band.
        transmittance: share of the light that passes.

    """

    path: npt.NDArray[np.float64]
    transmittance: float

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct a strip (bands, height, width); NaN stays."""
        path = self.path[:, None, None].astype(np.float32)
        corrected: FloatArray = (strip - path) / np.float32(self.transmittance)
        return corrected

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {
            "path_reflectance": [float(value) for value in self.path],
            "transmittance": self.transmittance,
            "dark_reflectance": DARK_REFLECTANCE,
        }


def fit_dark_object(
    image: FloatArray,
    *,
    sun_elevation_deg: float | None,
    method: str,
    center_nm: npt.NDArray[np.float64] | None = None,
) -> DarkObject:
    """Find what the air adds.

    Args:
        image: clear reflectance at the top of the atmosphere (bands, height, width), NaN without data.
        sun_elevation_deg: needed for "cost".
        method: "dos" or "cost".
        center_nm: wavelengths, nm; without them every band stands for itself.

    Raises:
        UsageError: there are too few pixels, or the sun's elevation is missing.

    """
    if method not in ("dos", "cost"):
        raise ValueError(f"the method is dos or cost, not {method!r}")
    transmittance = 1.0
    if method == "cost":
        if sun_elevation_deg is None:
            raise UsageError("COST needs the sun's elevation, which the product does not state")
        transmittance = max(_LEAST_TRANSMITTANCE, math.sin(math.radians(sun_elevation_deg)))
    path = np.array([_darkest(band) for band in image]) - DARK_REFLECTANCE * transmittance
    if not np.isfinite(path).any():
        raise UsageError(
            f"the scene has fewer than {FEWEST_PX} clear pixels: no dark ground can be found in it"
        )
    path = np.where(np.isfinite(path), np.clip(path, 0.0, None), 0.0)
    if center_nm is not None:
        path = _falling(path, np.asarray(center_nm, float))
    return DarkObject(path, transmittance)


def _darkest(band: FloatArray) -> float:
    values = band[np.isfinite(band)]
    if len(values) < FEWEST_PX:
        return math.nan
    count = min(len(values) - 1, max(_DARKEST_PX, round(_DARKEST_SHARE * len(values))))
    return float(np.partition(values, count)[count])


def _falling(path: npt.NDArray[np.float64], center_nm: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Hold each band to what shorter waves allow: scattering falls at least with the wavelength."""
    held = path.copy()
    order = np.argsort(np.where(np.isfinite(center_nm), center_nm, np.inf))
    limit, at_nm = math.inf, math.nan
    for band in order:
        if not math.isfinite(center_nm[band]):
            continue
        if math.isfinite(limit):
            held[band] = min(held[band], limit * at_nm / center_nm[band])
        limit, at_nm = held[band], center_nm[band]
    return held
