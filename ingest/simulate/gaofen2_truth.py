"""Truth of simulated Gaofen-2 packages: where the ground stayed the same, and ground made to deceive."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from ingest.simulate.fields import FloatMap, Mask, fractal_noise, stream
from ingest.simulate.ground import Ground
from ingest.simulate.write import RESOLUTION_M, SRID, Placement


def traps(seed: int, height_m: FloatMap) -> tuple[Mask, Mask]:
    """Ground that looks like cloud: a pond of bright dry tailings with straight edges, and snow patches."""
    height, width = height_m.shape
    rng = stream(seed, "traps")
    tailings = np.zeros(height_m.shape, bool)
    row, column = round(0.62 * height), round(0.30 * width)
    tailings[row : row + height // 14, column : column + width // 10] = True
    rough = fractal_noise(rng, height_m.shape, 0.03 * height, 4, 0.6)
    rows, columns = np.ogrid[:height, :width]
    inner = np.hypot(rows - 0.36 * height, columns - 0.64 * width) < 0.09 * height
    snow = inner & (ndimage.gaussian_filter(rough, 1.0) > 0.1)
    return tailings, np.asarray(snow & ~tailings, dtype=np.bool_)


def same_ground(seed: int, grounds: dict[int, Ground]) -> tuple[Mask, Mask]:
    """Ground that is the same in all years, a few pixels away from what is not; and changed classes."""
    first, *others = grounds.values()
    same = np.ones(first.shape, bool)
    for other in others:
        same &= first.material == other.material
        same &= np.abs(first.height_m - other.height_m) < 0.1
        same &= np.abs(first.cover - other.cover) < 0.01
        same &= np.abs(first.tone - other.tone) < 0.005
        same &= first.plant == other.plant
    changed = first.land_class != others[-1].land_class
    _, snow = traps(seed, first.height_m)
    # Shading and cast shadow of changed relief reach beyond it.
    same = ndimage.binary_erosion(same, iterations=20, border_value=1)
    return np.asarray(same & ~ndimage.binary_dilation(snow, iterations=4), dtype=np.bool_), changed


def terrain_map(height_m: FloatMap) -> FloatMap:
    """Heights in cells of 4 x 4 pixels."""
    rows, columns = (n // 4 * 4 for n in height_m.shape)
    cells: FloatMap = height_m[:rows, :columns].reshape(rows // 4, 4, columns // 4, 4).mean(axis=(1, 3))[None]
    return cells


def write_map(path: Path, values: NDArray[Any], placement: Placement, *, cell_px: int = 1) -> None:
    """Write bands (bands, height, width) on the district's grid, or on cells of some of its pixels."""
    transform = placement.transform()
    cell = RESOLUTION_M * cell_px
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=values.dtype,
        count=len(values),
        height=values.shape[1],
        width=values.shape[2],
        crs=f"EPSG:{SRID}",
        transform=rasterio.Affine(cell, 0.0, transform.c, 0.0, -cell, transform.f),
        compress="deflate",
        zlevel=1,
        tiled=True,
    ) as file:
        file.write(values)
