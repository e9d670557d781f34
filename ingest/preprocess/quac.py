"""A quick correction from the scene alone, without any model of the air.

After QUAC (Bernstein et al. 2005, doi:10.1117/12.603359; 2012, doi:10.1117/1.OE.51.11.111719): the darkest
pixels give what the air adds, and the deviation of reflectance over the scene's distinct materials is taken
to be alike at all wavelengths but for the mild curve of a spectral library. Approximations of this version:

* The curve is that of distinct spectra of the USGS library of 1995 (498 spectra, nearly all minerals; Clark
  et al. 1993, Open-File Report 93-592), not the original's own. Vegetation, whose red edge no mineral has,
  is left out of the scene.
* Contrast of the ground sets no absolute level: in the windows CLEAR_NM, where no gas absorbs, the median
  of the bands is taken to transmit CLEAREST_TRANSMITTANCE of the light, both ways together.
* Adjacency is not corrected. The fewer kinds of bare ground a scene shows, the more the gains depend on what
  they are: tens of per cent in a scene of forest and town. Dark-object subtraction is safer there, and a
  physical model with measured aerosol is better everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

MATERIALS = 40
FEWEST_BANDS = 4
FEWEST_PX = 1000
LARGEST_GAIN = 8.0
CLEAREST_TRANSMITTANCE = 0.93
CLEAR_NM = ((770.0, 900.0), (1000.0, 1080.0), (1220.0, 1290.0), (1540.0, 1700.0), (2100.0, 2250.0))
VEGETATION_NDVI = 0.3
_RED_NM, _NIR_NM, _NEAR_NM = 660.0, 860.0, 60.0
_ALIKE_PX = 3
_DARKEST_SHARE = 1e-3
_SAMPLE = 200_000
# Wavelength in nm and deviation of reflectance over 40 distinct spectra of the library.
_LIBRARY_NM = (400.0, 500.0, 600.0, 700.0, 800.0, 1000.0, 1300.0, 1700.0, 2200.0, 2500.0)
_LIBRARY_DEVIATION = (0.216, 0.232, 0.238, 0.247, 0.260, 0.252, 0.226, 0.218, 0.221, 0.193)


@dataclass(frozen=True)
class QuickCorrection:
    """surface = gain * (value - dark), by band; bands without signal pass untouched (gain 1, dark 0)."""

    gain: Vector
    dark: Vector
    materials: int

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct a strip (bands, height, width); NaN stays."""
        gain, dark = (each[:, None, None].astype(np.float32) for each in (self.gain, self.dark))
        corrected: FloatArray = (strip - dark) * gain
        return corrected

    def as_json(self) -> dict[str, Any]:
        """Parameters for the catalogue."""
        return {
            "gain": [round(float(value), 6) for value in self.gain],
            "dark": [round(float(value), 6) for value in self.dark],
            "materials": self.materials,
            "clearest_transmittance": CLEAREST_TRANSMITTANCE,
        }


def fit_quac(image: FloatArray, center_nm: Vector) -> QuickCorrection:
    """Find gain and dark level of each band.

    Args:
        image: clear reflectance at the top of the atmosphere (bands, height, width), NaN without data.
        center_nm: wavelengths, nm; bands with NaN pass untouched.

    Raises:
        UsageError: too few bands or pixels, or ground too much alike.
        ValueError: wavelengths are not those of the bands.

    """
    if image.ndim != 3 or len(center_nm) != len(image):
        raise ValueError(f"an image of shape {image.shape} does not fit {len(center_nm)} wavelengths")
    alive = np.array(
        [band for band, values in enumerate(image) if np.isfinite(center_nm[band]) and _varies(values)],
        np.intp,
    )
    if len(alive) < FEWEST_BANDS:
        raise UsageError(
            f"--atmosphere quac needs at least {FEWEST_BANDS} bands with data, not {len(alive)}; use "
            "dark-object"
        )
    flat = image[alive].reshape(len(alive), -1)
    places = np.flatnonzero(np.isfinite(flat).all(axis=0))
    if len(places) < FEWEST_PX:
        raise UsageError(
            f"the scene has {len(places)} clear pixels with data in all bands; at least {FEWEST_PX} are "
            "needed for --atmosphere quac"
        )
    if len(places) > _SAMPLE:
        places = np.sort(np.random.default_rng(0).choice(places, _SAMPLE, replace=False))
    pixels = flat[:, places].T.astype(np.float64)
    dark = np.quantile(pixels, _DARKEST_SHARE, axis=0)
    spectra = _distinct(_without_vegetation(pixels - dark, center_nm[alive]))
    deviation = spectra.std(axis=0)
    if (deviation < 1e-5).any():
        raise UsageError("the ground of the scene is too much alike for --atmosphere quac; use dark-object")
    relative = np.interp(center_nm[alive], _LIBRARY_NM, _LIBRARY_DEVIATION) / deviation
    is_clear = [any(low <= nm <= high for low, high in CLEAR_NM) for nm in center_nm[alive]]
    # Without a band in the windows, the longest wave is the clearest.
    clearest = float(np.median(relative[is_clear if any(is_clear) else [int(np.argmax(center_nm[alive]))]]))
    gain, level = np.ones(len(image)), np.zeros(len(image))
    gain[alive] = np.minimum(relative / clearest / CLEAREST_TRANSMITTANCE, LARGEST_GAIN)
    level[alive] = dark
    return QuickCorrection(gain, level, len(spectra))


def _varies(values: FloatArray) -> bool:
    seen = values[np.isfinite(values)]
    return len(seen) > 1 and bool(seen.std(dtype=np.float64) > 1e-6)


def _without_vegetation(pixels: Vector, center_nm: Vector) -> Vector:
    """Pixels that are not green, where red and near infrared can tell and enough others remain."""
    red, nir = (int(np.argmin(np.abs(center_nm - at_nm))) for at_nm in (_RED_NM, _NIR_NM))
    if max(abs(center_nm[red] - _RED_NM), abs(center_nm[nir] - _NIR_NM)) > _NEAR_NM:
        return pixels
    total = np.maximum(pixels[:, nir] + pixels[:, red], 1e-6)
    bare = pixels[(pixels[:, nir] - pixels[:, red]) / total < VEGETATION_NDVI]
    return bare if len(bare) >= FEWEST_PX // 4 else pixels


def _distinct(pixels: Vector) -> Vector:
    """Spectra of the scene that differ most in shape: each next one is farthest in angle from all before.

    Each is the mean of the few pixels most like it, so that a single defective pixel counts less.
    """
    size = np.linalg.norm(pixels, axis=1)
    bright = pixels[size > np.quantile(size, 0.05)]
    unit = bright / np.linalg.norm(bright, axis=1, keepdims=True)
    likeness = unit @ unit.mean(axis=0)
    spectra: list[Vector] = []
    for _ in range(min(MATERIALS, len(bright))):
        farthest = unit @ unit[int(np.argmin(likeness))]
        alike = np.argpartition(-farthest, min(_ALIKE_PX, len(bright) - 1))[:_ALIKE_PX]
        spectra.append(bright[alike].mean(axis=0))
        likeness = farthest if len(spectra) == 1 else np.maximum(likeness, farthest)
    return np.asarray(spectra)
