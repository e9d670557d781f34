"""A small picture of a stored scene, stretched for the eye, with the outline of what is hidden by cloud."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from psycopg import Connection
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

LARGEST_SIDE_PX = 4000
CLOUD_COLOUR = (255, 60, 60)
FILLED_COLOUR = (255, 190, 0)


def write_quicklook(
    conn: Connection[Any],
    scene: Scene,
    path: Path,
    *,
    side_px: int = 1200,
    bands: tuple[str, str, str] | None = None,
    false_colour: bool = False,
    outlines: bool = True,
) -> tuple[str, str, str]:
    """Write a scene as a PNG.

    Args:
        conn: connection.
        scene: the scene.
        path: file to write.
        side_px: longer side of the picture, pixels; overviews are read, never the whole scene.
        bands: names of the bands shown as red, green and blue; None: natural colour by wavelength.
        false_colour: near infrared as red instead of natural colour.
        outlines: whether cloud and shadow (red) and filled ground (orange) are outlined.

    Returns:
        The bands that are shown.

    Raises:
        UsageError: the size or a band is not possible, or the file cannot be written.

    """
    if not 16 <= side_px <= LARGEST_SIDE_PX:
        raise UsageError(f"a picture of {side_px} pixels? Choose 16 to {LARGEST_SIDE_PX}")
    places = _places(conn, scene, bands, false_colour)
    image, transform = _reduced(conn, scene, places, side_px)
    picture = fit_stretch(image).apply(image)
    if outlines:
        for geometry, colour in ((scene.clouded, CLOUD_COLOUR), (scene.filled, FILLED_COLOUR)):
            if geometry is not None and not geometry.is_empty:
                _draw(picture, transformed(geometry, WGS84_SRID, scene.grid.srid), transform, colour)
    _write(path, picture)
    names = [scene.band_names[place] for place in places]
    return names[0], names[1], names[2]


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


def _reduced(
    conn: Connection[Any], scene: Scene, places: tuple[int, int, int], side_px: int
) -> tuple[npt.NDArray[np.float32], Affine]:
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
    return values, transform


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
        except (OSError, rasterio.errors.RasterioError) as error:
            raise UsageError(f"{path}: cannot be written: {error}") from None
