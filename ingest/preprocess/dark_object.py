"""Dark-object subtraction: what the air adds, from the darkest ground of the scene.

DOS: Chavez 1988, doi:10.1016/0034-4257(88)90019-3. COST: Chavez 1996 (Photogrammetric Engineering and Remote
Sensing 62(9)), which also divides by the transmittance, taken as the cosine of the sun's zenith angle. The
darkest ground is taken to reflect one per cent. What the air adds must fall with the wavelength: a band whose
darkest pixels say otherwise (no dark ground in it) is held to the power law of the bands below it.
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
SCATTERING_EXPONENT = 0.5
"""Path reflectance falls at least with this power of the wavelength: Chavez's model of very hazy air."""

_SHORTER_BANDS = 5
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
    if image.ndim != 3 or (center_nm is not None and len(center_nm) != len(image)):
        raise ValueError(f"an image of shape {image.shape} does not fit the wavelengths of its bands")
    if method not in ("dos", "cost"):
        raise ValueError(f"the method is dos or cost, not {method!r}")
    transmittance = 1.0
    if method == "cost":
        if sun_elevation_deg is None:
            raise UsageError(
                "--atmosphere cost needs the sun's elevation, which the product does not state; use "
                "dark-object"
            )
        transmittance = max(_LEAST_TRANSMITTANCE, math.sin(math.radians(sun_elevation_deg)))
    path = np.array([_darkest(band) for band in image]) - DARK_REFLECTANCE * transmittance
    if not np.isfinite(path).any():
        raise UsageError(
            f"the scene has fewer than {FEWEST_PX} clear pixels: no dark ground can be found in it; "
            "leave --atmosphere out"
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
    """Hold each band to what the next shorter ones allow; bands that found nothing give no limit."""
    held = path.copy()
    order = [int(band) for band in np.argsort(center_nm) if math.isfinite(center_nm[band])]
    shorter: list[int] = []
    for band in order:
        near = np.array(shorter[-_SHORTER_BANDS:], np.intp)
        if len(near):
            # The median, since one band too dark (noise, a dead detector) must not hold all that follow.
            allowed = held[near] * (center_nm[near] / center_nm[band]) ** SCATTERING_EXPONENT
            held[band] = min(held[band], float(np.median(allowed)))
        if path[band] > 0:
            shorter.append(band)
    return held
