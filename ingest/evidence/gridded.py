"""A raster file as values on the grid of a study area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from db.errors import UsageError
from db.raster import Grid
from ingest.crs import FileCrs, file_crs
from ingest.evidence.alignment import Alignment, align
from ingest.evidence.cleaning import check_lowest, valid_values
from ingest.evidence.grids import corners_of
from ingest.files import SourceFile
from ingest.gridding import affine_of, outline_xy
from ingest.opening import ENVIRONMENT, open_raster, reading

RESAMPLINGS = {
    "nearest": Resampling.nearest,
    "bilinear": Resampling.bilinear,
    "average": Resampling.average,
}
FINER = 1.5
"""From so many times finer cells on, all of them within a cell are averaged."""

LEAST_VALID = 0.5
"""An average has a value where so large a share of the cell has."""

MAX_PX = 200_000_000
"""Cells of a file over the area that are read at a time."""

_MARGIN_PX = 3
_ROUNDING = 1e-5  # of shares
_TOLERANCE_PX = 1e-6  # rasterio refuses 0; its 0.125 shifts values by as much

_CODES = (
    "its whole numbers are taken for codes, as of rocks, between which there are no values: cells take the "
    "nearest; if they are amounts say --resampling bilinear or average"
)

_PLAIN = {"XSCALE": "1", "YSCALE": "1"}
"""Interpolate between four cells: GDAL otherwise takes more of them where a file is finer or turned."""


@dataclass(frozen=True)
class Gridded:
    """Values on a grid, and how they came there.

    Attributes:
        values: (height, width) of the grid, float32, NaN where there is none.
        resampling: ``none`` where the cells are the grid's own, else how values were taken.
        source_resolution_m: cell width in the file, m; None: no raster.
        shift_x_px, shift_y_px: offset of the file's cells, see ``Alignment``.
        notes: what the user should know.
        error: (height, width) error of each value, of gridded samples; None: none is known.
        error_kind, gridding: see ``db.evidence.NewLayer``.

    """

    values: npt.NDArray[np.float32]
    resampling: str
    source_resolution_m: float | None
    shift_x_px: float | None
    shift_y_px: float | None
    notes: tuple[str, ...]
    error: npt.NDArray[np.float32] | None = None
    error_kind: str | None = None
    gridding: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Source:
    """The part of a file over the area: values (rows, columns), NaN where there is none."""

    values: npt.NDArray[np.float32]
    transform: Affine
    crs: FileCrs


def grid_raster(
    file: SourceFile,
    grid: Grid,
    *,
    kind: str,
    band: int | None = None,
    nodata: Sequence[float] = (),
    resampling: str | None = None,
) -> Gridded:
    """Bring a band of a raster file onto a grid.

    Values are interpolated (bilinear) where the file's cells are coarser than the grid's or about as large,
    and averaged where they are finer by ``FINER`` times or more. Whole numbers of kind geology are codes, and
    the nearest is taken. A cell has a value where the file has one in its middle, or when averaged in half of
    it: nothing spreads beyond the ground that was measured.

    Args:
        file: GeoTIFF or JPEG 2000 image, in any CRS.
        grid: the grid of the study area.
        kind: what it is evidence of.
        band: which of several bands, from 1.
        nodata: what marks cells without value; see ``valid_values``.
        resampling: a key of ``RESAMPLINGS`` instead of that rule.

    Raises:
        UsageError: it has several bands and nobody says which, no CRS, or lies outside of the area.

    """
    with open_raster(file) as dataset, reading(file):
        chosen = _band(dataset, band, file.name)
        crs = file_crs(dataset.crs.to_wkt() if dataset.crs else None, file.name)
        transform: Affine = dataset.transform
        _check_transform(transform, file.name)
        shape = (dataset.height, dataset.width)
        window = _window(transform, shape, crs, grid, file.name)
        found, notes = valid_values(dataset, chosen, window, nodata)
        alignment = align(transform, shape, crs, grid)
        part = transform @ Affine.translation(window.col_off, window.row_off)
        are_codes = kind == "geology" and _is_whole(dataset, chosen)
    file.check_unchanged()
    doubt = crs.doubt()
    notes += (f"warning: {doubt}",) if doubt else ()
    notes += check_lowest(found, kind=kind, nodata=nodata, name=file.name)
    if not np.isfinite(found).any():
        raise UsageError(f"{file.name}: has no value over the area, only cells without: is --nodata right?")
    how = _how(alignment, resampling, are_codes)
    notes += (_CODES,) if are_codes and resampling is None and how == "nearest" else ()
    return Gridded(
        _on_grid(_Source(found.astype(np.float32), part, crs), grid, how),
        how,
        alignment.cell_x_m,
        alignment.shift_x_px,
        alignment.shift_y_px,
        (alignment.text(), *notes),
    )


def _how(alignment: Alignment, asked: str | None, are_codes: bool) -> str:
    if alignment.is_same:
        return "none"
    if asked is not None:
        return asked
    return "nearest" if are_codes else "average" if alignment.finer >= FINER else "bilinear"


def _is_whole(dataset: Any, band: int) -> bool:
    """Whether a band holds whole numbers that are no packed amounts."""
    is_packed = (dataset.scales[band - 1], dataset.offsets[band - 1]) != (1.0, 0.0)
    return np.dtype(dataset.dtypes[band - 1]).kind in "iu" and not is_packed


def _band(dataset: Any, band: int | None, name: str) -> int:
    if band is None and dataset.count > 1:
        raise UsageError(f"{name}: has {dataset.count} bands; say with --band which of them is the layer")
    if band is not None and band > dataset.count:
        raise UsageError(f"{name}: has no band {band}, only {dataset.count}")
    if np.dtype(dataset.dtypes[(band or 1) - 1]).kind not in "iuf":
        raise UsageError(
            f"{name}: its values are of type {dataset.dtypes[(band or 1) - 1]}, and not real numbers"
        )
    return band or 1


def _check_transform(transform: Affine, name: str) -> None:
    if transform == Affine.identity() or transform.determinant == 0 or not all(map(math.isfinite, transform)):
        raise UsageError(f"{name}: is not georeferenced: it has neither origin nor pixel size")


def _window(transform: Affine, shape: tuple[int, int], crs: FileCrs, grid: Grid, name: str) -> Window:
    """The part of a raster that the grid lies on, with a margin for interpolation.

    Raises:
        UsageError: there is none, or it is too large.

    """
    x, y = outline_xy(affine_of(grid), (grid.height_px, grid.width_px))
    if crs.srid != grid.srid:
        x, y = Transformer.from_crs(grid.srid, crs.crs, always_xy=True).transform(x, y)
    cols, rows = ~transform @ (np.asarray(x), np.asarray(y))
    first_col, last_col, first_row, last_row = 0, shape[1], 0, shape[0]
    if np.isfinite(cols).all() and np.isfinite(rows).all():
        # Edges of the grid may bow outwards between the points, by far less than their distance.
        slack_x, slack_y = (float(np.ptp(places)) / 500 + _MARGIN_PX for places in (cols, rows))
        first_col = max(0, math.floor(cols.min() - slack_x))
        last_col = min(shape[1], math.ceil(cols.max() + slack_x))
        first_row = max(0, math.floor(rows.min() - slack_y))
        last_row = min(shape[0], math.ceil(rows.max() + slack_y))
    if first_col >= last_col or first_row >= last_row:
        west, south, east, north = corners_of(transform, shape)
        raise UsageError(
            f"{name}: lies outside of the study area: it covers x {west:.10g} to {east:.10g}, y "
            f"{south:.10g} to {north:.10g} of {crs.name}, the area x {x.min():.10g} to {x.max():.10g}, y "
            f"{y.min():.10g} to {y.max():.10g}"
        )
    width, height = last_col - first_col, last_row - first_row
    if width * height > MAX_PX:
        raise UsageError(
            f"{name}: has {width * height} cells over the area; at most {MAX_PX} are read: make it "
            "coarser first, for instance with gdalwarp -tr"
        )
    return Window(first_col, first_row, width, height)


def _on_grid(source: _Source, grid: Grid, how: str) -> npt.NDArray[np.float32]:
    warped = _warped(source, grid, how, math.nan)
    if how not in ("none", "nearest"):
        valid = _Source(np.isfinite(source.values).astype(np.float32), source.transform, source.crs)
        share = _warped(valid, grid, "average" if how == "average" else "nearest", None)
        if how == "average":
            share *= _covered(source, grid)  # GDAL's share is that of the ground the file covers
        warped[share < LEAST_VALID - _ROUNDING] = np.nan
    return warped


def _covered(source: _Source, grid: Grid) -> npt.NDArray[np.float32]:
    """Share of each cell of the grid (height, width) that a source covers; 1 where its edges do not pass."""
    x, y = outline_xy(source.transform, source.values.shape)
    if source.crs.srid != grid.srid:
        x, y = Transformer.from_crs(source.crs.crs, grid.srid, always_xy=True).transform(x, y)
    covered = np.ones((grid.height_px, grid.width_px), np.float32)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return covered
    outline = shapely.make_valid(shapely.Polygon(np.column_stack([x, y])))
    edges = outline.boundary.buffer(min(grid.resolution_x, grid.resolution_y) / 4)  # none is missed
    passed = rasterize([edges], covered.shape, transform=affine_of(grid), all_touched=True, dtype="uint8")
    rows, cols = np.nonzero(passed)
    west, north = grid.origin_x + cols * grid.resolution_x, grid.origin_y - rows * grid.resolution_y
    cells = shapely.box(west, north - grid.resolution_y, west + grid.resolution_x, north)
    shapely.prepare(outline)
    inside = shapely.area(shapely.intersection(cells, outline))
    covered[rows, cols] = inside / (grid.resolution_x * grid.resolution_y)
    return covered


def _warped(source: _Source, grid: Grid, how: str, nodata: float | None) -> npt.NDArray[np.float32]:
    """Warp values in memory; without nodata the grid is 0 where the file does not reach."""
    height, width = source.values.shape
    crs = CRS.from_user_input(source.crs.crs)
    place = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": crs, "transform": source.transform}
    with rasterio.Env(**ENVIRONMENT), MemoryFile() as memory:
        with memory.open(height=height, width=width, nodata=nodata, **place) as file:
            file.write(source.values, 1)
        with (
            memory.open() as file,
            WarpedVRT(
                file,
                crs=CRS.from_epsg(grid.srid),
                transform=affine_of(grid),
                width=grid.width_px,
                height=grid.height_px,
                resampling=RESAMPLINGS.get(how, Resampling.nearest),
                tolerance=_TOLERANCE_PX,
                **(_PLAIN if how == "bilinear" else {}),
            ) as view,
        ):
            values: npt.NDArray[np.float32] = view.read(1)
    return values
