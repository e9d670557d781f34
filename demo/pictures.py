"""Pictures: scene beside classes beside truth, and area by year."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rasterio
import rasterio.features
import shapely
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray
from psycopg import Connection
from pyproj import Transformer

from db.classes import LandClass, list_classes
from db.landcover import landcover_of_year
from db.mines import mine_boundaries
from db.raster.grid import Grid
from db.scenes import Scene, list_scenes, open_scene
from demo.figures import DAMAGE_KINDS, Figures
from ingest.simulate.district import District

mpl.use("Agg")

NOT_OBSERVED = 255
STRETCH_PERCENT = (1.0, 99.0)
"""Percentiles of the valid pixels that become black and white."""
KIND_COLOURS = {"excavated": "#d7301f", "occupied": "#8c6239"}


def draw_years(conn: Connection[Any], district: District, path: Path) -> Path:
    """Draw one row a year: the scenes in true colour, the published classes, the planted truth."""
    classes = list_classes(conn)
    figure = Figure(figsize=(13.5, 3.55 * len(district.years)), layout="constrained")
    axes = figure.subplots(len(district.years), 3, squeeze=False)
    for row, year in enumerate(district.years):
        with rasterio.open(district.truth_maps[year]) as truth:
            planted = truth.read(1)
            grid = Grid(
                truth.crs.to_epsg(), truth.transform.c, truth.transform.f, truth.res[0], truth.res[1],
                truth.width, truth.height,
            )  # fmt: skip
        outlines = _mine_outlines(conn, grid)
        panels = (
            (f"{year}: scenes", _mosaic(conn, year, grid)),
            ("interpreted by Lode", _coloured(_published(conn, year, grid), classes)),
            ("planted truth", _coloured(planted, classes)),
        )
        for axis, (title, picture) in zip(axes[row], panels, strict=True):
            axis.imshow(picture, interpolation="nearest" if title != panels[0][0] else "antialiased")
            for x, y in outlines:
                axis.plot(x, y, color="white", linewidth=1.6)
                axis.plot(x, y, color="black", linewidth=0.7)
            axis.set_title(title, fontsize=10)
            axis.set_axis_off()
            axis.set_xlim(0, grid.width_px)
            axis.set_ylim(grid.height_px, 0)
    shown = [each for each in classes if each.is_mapped]
    handles = [Patch(facecolor=each.colour, label=each.name) for each in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)
    figure.savefig(path, dpi=80)
    return path


def draw_areas(figures: Figures, path: Path) -> Path:
    """Draw mapped beside planted area of all mines, by year and kind."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axis = figure.subplots()
    rows = {(row.year, row.kind): row for row in figures.by_year()}
    years = sorted({year for year, _kind in rows})
    for offset, kind in zip((-0.2, 0.2), DAMAGE_KINDS, strict=True):
        at = np.arange(len(years)) + offset
        mapped = [rows[year, kind].mapped_m2 / 1e4 for year in years]
        planted = [rows[year, kind].planted_m2 / 1e4 for year in years]
        axis.bar(at - 0.09, planted, 0.17, color="white", edgecolor=KIND_COLOURS[kind], hatch="////")
        axis.bar(at + 0.09, mapped, 0.17, color=KIND_COLOURS[kind], edgecolor=KIND_COLOURS[kind])
    axis.set_xticks(np.arange(len(years)), [str(year) for year in years])
    axis.set_ylabel("area inside the mines, ha")
    axis.spines[["top", "right"]].set_visible(False)
    handles = [Patch(facecolor=KIND_COLOURS[kind], label=f"{kind}, mapped") for kind in DAMAGE_KINDS]
    handles.append(
        Patch(facecolor="white", edgecolor="grey", hatch="////", label="planted by the simulation")
    )
    axis.legend(handles=handles, frameon=False, fontsize=9, loc="upper left")
    axis.set_ylim(top=axis.get_ylim()[1] * 1.25)
    figure.savefig(path, dpi=110)
    return path


def _mosaic(conn: Connection[Any], year: int, grid: Grid) -> NDArray[np.float32]:
    """True colour ``(height, width, 3)`` in 0..1; later scenes lie on top, white where none was."""
    picture = np.ones((grid.height_px, grid.width_px, 3), np.float32)
    for scene in list_scenes(conn, years=[year]):
        colours, valid = _true_colour(conn, scene)
        row = round((grid.origin_y - scene.grid.origin_y) / grid.resolution_y)
        col = round((scene.grid.origin_x - grid.origin_x) / grid.resolution_x)
        height, width = valid.shape
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, grid.height_px), min(col + width, grid.width_px)
        inside = (slice(top - row, bottom - row), slice(left - col, right - col))
        target = picture[top:bottom, left:right]
        target[valid[inside]] = colours[inside][valid[inside]]
    return picture


def _true_colour(conn: Connection[Any], scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    bands = [scene.band_names.index(name) + 1 for name in ("red", "green", "blue")]
    stored = open_scene(conn, scene).read(0, 0, scene.grid.height_px, scene.grid.width_px, bands=bands)
    valid = (
        (stored != scene.nodata).all(axis=0) if scene.nodata is not None else np.ones(stored.shape[1:], bool)
    )
    colours = np.empty((*valid.shape, 3), np.float32)
    for place, band in enumerate(stored):
        dark, bright = np.percentile(band[valid], STRETCH_PERCENT)
        colours[..., place] = np.clip((band - dark) / (bright - dark), 0, 1)
    return np.power(colours, np.float32(0.8)), np.asarray(valid)


def _published(conn: Connection[Any], year: int, grid: Grid) -> NDArray[np.uint8]:
    polygons = landcover_of_year(conn, year)
    geometry = _onto_grid(shapely.from_wkb([wkb for _code, wkb in polygons]), grid)
    shapes = zip(geometry, (code for code, _wkb in polygons), strict=True)
    burnt: NDArray[np.uint8] = rasterio.features.rasterize(
        shapes, out_shape=(grid.height_px, grid.width_px), fill=NOT_OBSERVED, dtype="uint8"
    )
    return burnt


def _mine_outlines(
    conn: Connection[Any], grid: Grid
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    polygons = shapely.get_parts(np.array(mine_boundaries(conn), object))
    rings = shapely.get_rings(_onto_grid(polygons, grid))
    return [(line[:, 0], line[:, 1]) for line in map(shapely.get_coordinates, rings)]


def _onto_grid(geometry: NDArray[Any], grid: Grid) -> NDArray[Any]:
    """Geometry in EPSG:4326 as columns and rows of the grid."""
    transformer = Transformer.from_crs(4326, grid.srid, always_xy=True)

    def move(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = transformer.transform(xy[:, 0], xy[:, 1])
        col, row = (x - grid.origin_x) / grid.resolution_x, (grid.origin_y - y) / grid.resolution_y
        return np.column_stack((col, row))

    moved: NDArray[Any] = shapely.transform(geometry, move)
    return moved


def _coloured(class_map: NDArray[np.uint8], classes: list[LandClass]) -> NDArray[np.uint8]:
    palette = np.full((256, 3), 255, np.uint8)
    for each in classes:
        palette[each.code] = [int(each.colour[at : at + 2], 16) for at in (1, 3, 5)]
    return palette[class_map]
