"""Random fields: the noise that terrain, lithology, vegetation and texture are made of.

All fields come from generators keyed by name, so a part of the district looks the same whichever other
parts were drawn before it.
"""

import zlib

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

FloatMap = NDArray[np.float32]
ByteMap = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Standard deviation of a cubic B-spline surface over white noise: (151/315), the mean of the summed
# squared weights, once per axis under the square root.
_SPLINE_STD = 151.0 / 315.0


def stream(seed: int, *key: str | int) -> np.random.Generator:
    """Random generator of one named part of the district; same seed and key, same numbers."""
    words = [seed, *(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key)]
    return np.random.default_rng(words)


def smoothstep(values: FloatMap, low: float, high: float) -> FloatMap:
    """Hermite ramp from 0 at `low` to 1 at `high`."""
    ramp = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), dtype=np.float32)


def _basis(length: int, spacing: float, knots: int) -> sparse.csr_matrix:
    """Weights (length, knots) of a uniform cubic B-spline; knot k lies at position (k - 1) * spacing."""
    position = np.arange(length, dtype=np.float64) / spacing
    first = np.floor(position).astype(np.int64)
    t = position - first
    weights = np.stack(
        [(1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6, t**3 / 6],
        axis=1,
    )
    rows = np.repeat(np.arange(length), 4)
    columns = (first[:, None] + np.arange(4)).ravel()
    return sparse.csr_matrix((weights.ravel().astype(np.float32), (rows, columns)), shape=(length, knots))


def knots_for(length: int, spacing: float) -> int:
    """Count of knots that a spline over `length` pixels needs at a spacing in pixels."""
    return int(np.floor((length - 1) / spacing)) + 4


def spline_surface(knots: FloatMap, shape: tuple[int, int], spacing: float) -> FloatMap:
    """Smooth surface (height, width) over a grid of knots, cubic B-spline, continuous to the second order."""
    rows = _basis(shape[0], spacing, knots.shape[0])
    columns = _basis(shape[1], spacing, knots.shape[1])
    across = np.ascontiguousarray((columns @ np.ascontiguousarray(knots.T)).T)
    return np.asarray(rows @ across, dtype=np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> FloatMap:
    """Gaussian noise of mean 0 and deviation 1 whose features measure about `spacing` pixels."""
    size = (knots_for(shape[0], spacing), knots_for(shape[1], spacing))
    knots = rng.standard_normal(size, dtype=np.float32)
    return spline_surface(knots / np.float32(_SPLINE_STD), shape, spacing)


def fractal_noise(
    rng: np.random.Generator, shape: tuple[int, int], spacing: float, octaves: int, gain: float = 0.5
) -> FloatMap:
    """Sum of octaves of noise, each half as wide and `gain` as strong; deviation 1, finest 2 pixels."""
    total = np.zeros(shape, np.float32)
    weight, power = 1.0, 0.0
    for octave in range(octaves):
        width = spacing / 2**octave
        if octave and width < 2:
            break
        total += np.float32(weight) * smooth_noise(rng, shape, max(width, 2.0))
        power += weight**2
        weight *= gain
    return total / np.float32(np.sqrt(power))


def texture_tile(rng: np.random.Generator, sigma_px: float, size_px: int = 512) -> FloatMap:
    """Seamless square of blurred noise, deviation 1: repeated over the ground it gives fine texture."""
    tile = ndimage.gaussian_filter(
        rng.standard_normal((size_px, size_px), dtype=np.float32), sigma_px, mode="wrap"
    )
    return np.asarray(tile / tile.std(), dtype=np.float32)


def tiled(tile: FloatMap, rows: tuple[int, int], columns: tuple[int, int]) -> FloatMap:
    """Part of the endless repetition of a tile; rows and columns are half-open pixel ranges."""
    row = np.arange(*rows) % tile.shape[0]
    column = np.arange(*columns) % tile.shape[1]
    return tile[np.ix_(row, column)]


def ring_noise(rng: np.random.Generator, angle: FloatMap, lobes: int) -> FloatMap:
    """Noise along a circle, deviation about 1, with about `lobes` bumps in a full turn."""
    samples = rng.standard_normal(lobes).astype(np.float32)
    position = (angle / np.float32(2 * np.pi)) % 1.0 * lobes
    index = np.floor(position).astype(np.int64)
    t = position - index
    t = t * t * (3 - 2 * t)
    low, high = samples[index % lobes], samples[(index + 1) % lobes]
    return np.asarray(low + (high - low) * t, dtype=np.float32)


def without_specks(mask: Mask, smallest_px: int) -> Mask:
    """Mask whose patches and holes below `smallest_px` pixels are gone (4-neighbours)."""
    result = mask.copy()
    for value in (True, False):
        parts, count = ndimage.label(result == value)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)
        sizes[0] = smallest_px
        result[(sizes < smallest_px)[parts]] = not value
    return result


def coarse_distance(mask: Mask, stride: int = 4) -> FloatMap:
    """Distance in pixels to the nearest set pixel, from a grid `stride` times coarser (error: one stride)."""
    height, width = mask.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = np.zeros((rows * stride, columns * stride), np.bool_)
    padded[:height, :width] = mask
    pooled = padded.reshape(rows, stride, columns, stride).any(axis=(1, 3))
    if not pooled.any():
        return np.full(mask.shape, np.float32(height + width), np.float32)
    distance = ndimage.distance_transform_edt(~pooled).astype(np.float32) * np.float32(stride)
    distance = np.pad(distance, ((1, 3), (1, 3)), mode="edge")
    return spline_surface(distance, mask.shape, stride)
