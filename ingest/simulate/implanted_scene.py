"""A real EnMAP scene in memory, and the files of what was implanted in it."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

from db.errors import UsageError
from db.raster import Grid
from db.raster.pixels import is_nodata
from ingest.processing.native import NativeSource
from ingest.products.enmap import find, read
from ingest.products.enmap_delivery import NODATA, SCALE
from ingest.products.gathering import gather
from ingest.products.product import Band, Product
from ingest.simulate.prospect_geology import STEP_M

LEAST_BRIGHT = 0.10
"""Water and shade reflect less at 860 nm; no cluster of dykes has its middle there."""
_BRIGHT_NM = 860.0

Pixels = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RealScene:
    """A real scene as it is stored.

    Attributes:
        product: what the product's reader said.
        grid: of the pixels.
        stored: (bands, height, width) as stored.
        nodata: the value of no data.
        bands: with wavelengths.
        is_valid: (height, width) pixels with a value in every band that has no fault.

    """

    product: Product
    grid: Grid
    stored: Pixels
    nodata: float
    bands: tuple[Band, ...]
    is_valid: NDArray[np.bool_]


def read_scene(folder: Path) -> RealScene:
    """Read EnMAP Level 2A, a delivery or tiles of one scene.

    Raises:
        UsageError: none is there, it is damaged, or its pixels are not of 30 m.

    """
    with tempfile.TemporaryDirectory() as workspace, ExitStack() as stack:
        package = gather(str(folder), (), Path(workspace))
        found = find(package)
        if not found:
            raise UsageError(
                f"{folder}: holds no EnMAP Level 2A scene; name a delivery, or a folder of tiles that have "
                "wavelength and start_time tags"
            )
        product = read(package, found[0])
        part = product.parts[0]
        source = NativeSource(part, stack, product.name)
        grid = source.grid
        if abs(grid.resolution_x - STEP_M) > 1e-6 or abs(grid.resolution_y - STEP_M) > 1e-6:
            raise UsageError(
                f"{folder}: has pixels of {grid.resolution_x:g} x {grid.resolution_y:g} m; EnMAP's have "
                f"{STEP_M:g} m: take it as it was delivered"
            )
        stored = source.read_stored(0, 0, grid.height_px, grid.width_px)
    bands = tuple(layer.band for layer in part.layers)
    usable = [place for place, band in enumerate(bands) if band.fault is None]
    nodata = NODATA if source.nodata is None else source.nodata
    is_valid = np.asarray(~is_nodata(stored[usable], nodata).any(axis=0))
    return RealScene(product, grid, stored, nodata, bands, is_valid)


def transform_of(grid: Grid) -> Affine:
    """The grid as rasterio takes it."""
    return Affine(grid.resolution_x, 0.0, grid.origin_x, 0.0, -grid.resolution_y, grid.origin_y)


def valid_ground(scene: RealScene) -> shapely.Geometry:
    """Outline of the valid pixels."""
    found = shapes(scene.is_valid.astype(np.uint8), scene.is_valid, transform=transform_of(scene.grid))
    return shapely.union_all([shapely.from_geojson(json.dumps(shape)) for shape, _value in found])


def bright_pixels(scene: RealScene) -> NDArray[np.bool_]:
    """Valid pixels that are neither water nor shade."""
    apart = [abs((band.center_nm or 0.0) - _BRIGHT_NM) for band in scene.bands]
    band = scene.stored[int(np.argmin(apart))].astype(np.float64) * SCALE
    found: NDArray[np.bool_] = scene.is_valid & (band >= LEAST_BRIGHT)
    return found


def write_scene(path: Path, scene: RealScene, stored: Pixels) -> None:
    """Write pixels (bands, height, width) with the scene's wavelengths, as a tile that the ingest takes."""
    grid = scene.grid
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.height_px,
        width=grid.width_px,
        count=len(scene.bands),
        dtype=stored.dtype,
        crs=f"EPSG:{grid.srid}",
        transform=transform_of(grid),
        nodata=scene.nodata,
        compress="deflate",
        interleave="band",
        BIGTIFF="IF_SAFER",
    ) as file:
        file.update_tags(
            start_time=f"{scene.product.acquired_at:%Y-%m-%dT%H:%M:%S}",
            data="implanted",
            description="real pixels with implanted minerals, see truth/facts.json",
        )
        file.write(stored)
        for place, band in enumerate(scene.bands, 1):
            file.update_tags(
                place,
                wavelength=f"{band.center_nm:g}",
                fwhm=f"{band.width_nm:g}",
                wavelength_units="Nanometers",
                bbl="1" if band.fault is None else "0",
            )


def write_shares(path: Path, grid: Grid, minerals: Sequence[str], shares: Floats) -> None:
    """Write the share of each pixel that is each mineral (minerals, height, width)."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=grid.height_px,
        width=grid.width_px,
        count=len(minerals),
        dtype="float32",
        crs=f"EPSG:{grid.srid}",
        transform=transform_of(grid),
        compress="deflate",
    ) as file:
        file.write(shares.astype(np.float32))
        for place, mineral in enumerate(minerals, 1):
            file.set_band_description(place, f"implanted {mineral}")


def spectra_text(bands: Sequence[Band], minerals: Sequence[str], seen: Floats) -> str:
    """CSV of the minerals' reflectance (minerals, bands)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["band", "center_nm", "width_nm", *(f"implanted {mineral}" for mineral in minerals)])
    for band, values in zip(bands, seen.T, strict=True):
        center, width = f"{band.center_nm:g}", f"{band.width_nm:g}"
        writer.writerow([band.name, center, width, *(f"{value:.6f}" for value in values)])
    return text.getvalue()
