"""Made landscapes: input of the benchmarks that need no truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float32]

BANDS = 4
HYPERSPECTRAL_BANDS = 150
CENTER_NM = np.linspace(400.0, 2500.0, HYPERSPECTRAL_BANDS)
SPECTRA = np.array(
    [
        [0.05, 0.08, 0.06, 0.35],  # plants
        [0.12, 0.16, 0.20, 0.26],  # soil
        [0.22, 0.25, 0.28, 0.31],  # rock
        [0.05, 0.05, 0.03, 0.02],  # water
    ]
)


def landscape(side_px: int, seed: int = 1) -> FloatArray:
    """Reflectance of fields (4, side, side) under slowly changing light, with noise and 3 % of cloud."""
    random = np.random.default_rng(seed)
    coarse = ndimage.gaussian_filter(random.normal(size=(side_px // 4 + 1,) * 2), 6)
    kinds = np.digitize(coarse, np.quantile(coarse, [0.4, 0.7, 0.95]))
    kinds = kinds.repeat(4, axis=0).repeat(4, axis=1)[:side_px, :side_px]
    light = 1 + 0.1 * random.normal(size=kinds.shape).astype(np.float32)
    image = (SPECTRA[kinds].transpose(2, 0, 1) * light).astype(np.float32) + np.float32(0.02)
    clouds = ndimage.gaussian_filter(random.normal(size=(side_px // 16 + 1,) * 2), 8)
    cloudy = (clouds > np.quantile(clouds, 0.97)).repeat(16, axis=0).repeat(16, axis=1)[:side_px, :side_px]
    image[:, cloudy] = 0.6
    return np.asarray(image, np.float32)


def spectra(side_px: int) -> FloatArray:
    """A hyperspectral image (150, side, side): the landscape's bands mixed, with noise and stripes."""
    random = np.random.default_rng(2)
    mixing: npt.NDArray[np.float64] = np.abs(
        ndimage.gaussian_filter1d(random.normal(size=(HYPERSPECTRAL_BANDS, BANDS)), 8, axis=0)
    )
    mixing /= mixing.sum(axis=1, keepdims=True)
    image = np.tensordot(mixing.astype(np.float32), landscape(side_px, 3), axes=1)
    image += random.normal(0.0, 0.002, image.shape).astype(np.float32)
    image *= (1 + 0.02 * random.normal(size=(HYPERSPECTRAL_BANDS, 1, side_px))).astype(np.float32)
    return np.asarray(image, np.float32)
