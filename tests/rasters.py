"""Rasters for tests: noise with holes, written as a file or into the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from psycopg import Connection
from rasterio.transform import Affine

from db.raster import Grid, RasterWriter

Pixels = npt.NDArray[Any]


def grid_of(width_px: int, height_px: int) -> Grid:
    """A grid in UTM 45N with oblong pixels, so that mixed-up axes show."""
    return Grid(32645, 500000.0, 4860000.0, 2.0, 4.0, width_px, height_px)


def noise(dtype: str, bands: int, height: int, width: int, *, seed: int = 1) -> Pixels:
    """Noise over most of the type's range, without the values 0 and 7."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.normal(10000, 1000, (bands, height, width)).astype(kind)
    high = np.iinfo(kind).max
    return random.integers(8, high, (bands, height, width), dtype=kind, endpoint=True)


def with_holes(pixels: Pixels, nodata: float) -> Pixels:
    """The same with nodata: a collar, a hole across tiles, and one band that lacks a piece."""
    pixels = pixels.copy()
    height, width = pixels.shape[1:]
    pixels[:, : height // 3, : width // 3] = nodata
    pixels[:, -height // 4 :] = nodata
    pixels[:, height // 2 : height // 2 + 3, width // 2 :] = nodata
    pixels[0, height // 2 :, : width // 5] = nodata
    return pixels


def write_table(
    conn: Connection[Any], pixels: Pixels, *, owner_id: int = 1, strip: int = 100, **options: Any
) -> RasterWriter:
    """Write pixels as ``lode_raster.scene_<owner_id>`` in the open transaction, without committing."""
    arguments: dict[str, Any] = {
        "parent": "scene_tile",
        "table": f"scene_{owner_id}",
        "nodata": None,
        "tile_px": 64,
    }
    writer = RasterWriter(
        conn,
        owner_id=owner_id,
        grid=grid_of(pixels.shape[2], pixels.shape[1]),
        dtype=pixels.dtype,
        band_count=len(pixels),
        **{**arguments, **options},
    )
    for top in range(0, pixels.shape[1], strip):
        writer.write_rows(pixels[:, top : top + strip])
    writer.finish()
    return writer


def write_file(path: Path, pixels: Pixels, *, nodata: float | None = None, **profile: Any) -> Path:
    """Write pixels as a GeoTIFF on ``grid_of``."""
    bands, height, width = pixels.shape
    grid = grid_of(width, height)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=width,
        height=height,
        count=bands,
        dtype=pixels.dtype,
        nodata=nodata,
        crs=f"EPSG:{grid.srid}",
        transform=Affine(grid.resolution_x, 0, grid.origin_x, 0, -grid.resolution_y, grid.origin_y),
        **profile,
    ) as file:
        file.write(pixels)
    return path
