"""A small picture of a stored scene, stretched for the eye, with the outline of what is hidden by cloud."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from psycopg import Connection
from rasterio._err import CPLE_BaseError  # GDAL's errors that rasterio passes on as they are
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from scipy import ndimage

from db.errors import UsageError
from db.raster.pixels import is_nodata
from db.scene_bands import scene_bands
from db.scenes import Scene, open_scene
from ingest.clouds import transformed
from ingest.crs import WGS84_SRID
from ingest.preprocess.enhancement import choose_rgb, fit_stretch
from ingest.products.product import Band
from ingest.scene_mosaic import PlacedImage, mosaic

LARGEST_SIDE_PX = 4000
CLOUD_COLOUR = (255, 60, 60)
FILLED_COLOUR = (255, 190, 0)


@dataclass(frozen=True)
class Quicklook:
    """What a picture shows: names of the bands as red, green and blue, and what could not be done."""

    bands: tuple[str, str, str]
    notes: tuple[str, ...]


def write_quicklook(
    conn: Connection[Any],
    scenes: Sequence[Scene],
    path: Path,
    *,
    side_px: int = 1200,
    bands: tuple[str, str, str] | None = None,
    false_colour: bool = False,
    outlines: bool = True,
) -> Quicklook:
    """Write a scene as a PNG, or several as one mosaic.

    Args:
        conn: connection.
        scenes: what is drawn; of several the first keeps its colours, and the others are fitted to it.
        path: file to write.
        side_px: longer side of the picture, pixels; overviews are read, never the whole scene.
        bands: names of the bands shown as red, green and blue; None: natural colour by wavelength.
        false_colour: near infrared as red instead of natural colour.
        outlines: whether cloud and shadow (red) and filled ground (orange) of a single scene are outlined.

    Raises:
        UsageError: the size or a band is not possible, or the file cannot be written.

    """
    if not 16 <= side_px <= LARGEST_SIDE_PX:
        raise UsageError(f"a picture of {side_px} pixels? Choose 16 to {LARGEST_SIDE_PX}")
    places = [_places(conn, scene, bands, false_colour) for scene in scenes]
    images = [_reduced(conn, scene, chosen, side_px) for scene, chosen in zip(scenes, places, strict=True)]
    image, notes = images[0], tuple[str, ...]()
    if len(images) > 1:
        image, notes = mosaic(images, side_px)
    picture = fit_stretch(image.pixels).apply(image.pixels)
    if outlines and len(scenes) == 1:
        _outline(picture, scenes[0], image)
    _write(path, picture)
    red, green, blue = (scenes[0].band_names[place] for place in places[0])
    return Quicklook((red, green, blue), notes)


def _outline(picture: npt.NDArray[np.uint8], scene: Scene, image: PlacedImage) -> None:
    for geometry, colour in ((scene.clouded, CLOUD_COLOUR), (scene.filled, FILLED_COLOUR)):
        if geometry is not None and not geometry.is_empty:
            _draw(picture, transformed(geometry, WGS84_SRID, image.srid), image.transform, colour)


def _places(
    conn: Connection[Any], scene: Scene, names: tuple[str, str, str] | None, false_colour: bool
) -> tuple[int, int, int]:
    if names is None:
        listed = [
            Band(band.name, band.common_name, band.center_nm, band.width_nm, band.fault)
            for band in scene_bands(conn, scene)
        ]
        return choose_rgb(listed, false_colour=false_colour)
    missing = [name for name in names if name not in scene.band_names]
    if missing:
        raise UsageError(
            f"{scene.product} has no band {', '.join(missing)}; it has: {', '.join(scene.band_names[:40])}"
        )
    red, green, blue = (scene.band_names.index(name) for name in names)
    return red, green, blue


def _reduced(conn: Connection[Any], scene: Scene, places: tuple[int, int, int], side_px: int) -> PlacedImage:
    """The chosen bands as values (3, rows, columns), NaN without data, from an overview fine enough."""
    reader = open_scene(conn, scene)
    grid = scene.grid
    wanted = max(grid.width_px, grid.height_px) / side_px
    factor = max([1, *(level for level in reader.overviews if level <= wanted)])
    height, width = -(-grid.height_px // factor), -(-grid.width_px // factor)
    stored = reader.read(0, 0, height, width, bands=[place + 1 for place in places], overview=factor)
    step = max(1, round(wanted / factor))
    stored = stored[:, ::step, ::step]
    values = ((stored.astype(np.float64) + scene.value_offset) * scene.value_scale).astype(np.float32)
    if scene.nodata is not None:
        values[is_nodata(stored, scene.nodata)] = np.nan
    values[~np.isfinite(values)] = np.nan
    cell = factor * step
    transform = Affine(
        grid.resolution_x * cell, 0.0, grid.origin_x, 0.0, -grid.resolution_y * cell, grid.origin_y
    )
    return PlacedImage(values, transform, grid.srid, scene.clouded)


def _draw(
    picture: npt.NDArray[np.uint8],
    geometry: shapely.Geometry,
    transform: Affine,
    colour: tuple[int, int, int],
) -> None:
    inside = rasterize([(geometry, 1)], picture.shape[1:], transform=transform, dtype="uint8").astype(bool)
    edge = inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)
    for band, value in zip(picture, colour, strict=True):
        band[edge] = value


def _write(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"{path}: a picture is written as PNG: name a file that ends in .png")
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        # A picture has no place on the map.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(
                path,
                "w",
                driver="PNG",
                dtype="uint8",
                count=3,
                height=picture.shape[1],
                width=picture.shape[2],
            ) as file:
                file.write(picture)
        except (OSError, rasterio.errors.RasterioError, CPLE_BaseError) as error:
            raise UsageError(f"{path}: cannot be written: {error}") from None
