"""Files of sample points: tables with coordinates, and vector files of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from pyproj import Transformer

from db.errors import UsageError
from db.raster import Grid
from ingest.crs import WGS84_SRID, FileCrs
from ingest.csv_table import read_csv
from ingest.evidence.contents import parse_value
from ingest.files import SourceFile
from ingest.geometry import storable_shapes
from ingest.jp2_header import is_jp2
from ingest.requests import crs_notes, crs_of
from ingest.vectors import FeatureTable, read_features

TABLE_ENDINGS = (".csv", ".txt", ".tsv")
VECTOR_ENDINGS = (".gpkg", ".geojson", ".json", ".shp", ".zip")

X_NAMES = (
    "x", "easting", "east", "e", "lon", "long", "longitude", "x_m", "utm_x", "utm_e", "x_coord", "xcoord",
    "经度", "横坐标",
)  # fmt: skip
Y_NAMES = (
    "y", "northing", "north", "n", "lat", "lat", "latitude", "y_m", "utm_y", "utm_n", "y_coord", "ycoord",
    "纬度", "纵坐标",
)  # fmt: skip
"""What columns of coordinates are called; x and y of a pair stand at the same place."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEAD_BYTES = 12
_SHOWN = 5


@dataclass(frozen=True)
class SampleReading:
    """How a file of samples is to be read.

    Attributes:
        file: the file.
        roots: folders that parts of a shapefile must lie in; empty: any.
        srid: EPSG code of the coordinates, where the file states none, as tables do not.
        x_column, y_column: columns of a table with its coordinates; None: as they are usually called.
        layer: layer of a file that has several.
        encoding: encoding of its texts, where it does not say it.

    """

    file: SourceFile
    roots: Sequence[Path] = ()
    srid: int | None = None
    x_column: str | None = None
    y_column: str | None = None
    layer: str | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class SampleTable:
    """Samples as a file has them, and where they lie on a grid.

    Attributes:
        table: the samples.
        xy_m: (samples, 2): where they lie, in metres of the grid's CRS; not finite: nowhere near it.
        lonlat: (samples, 2): longitude and latitude, degrees.
        taken: columns that hold coordinates.
        notes: what the user should know.

    """

    table: FeatureTable
    xy_m: npt.NDArray[np.float64]
    lonlat: npt.NDArray[np.float64]
    taken: tuple[str, ...]
    notes: tuple[str, ...]


def is_sample_file(file: SourceFile) -> bool:
    """Whether a file holds samples by its ending, and is no raster by its content."""
    head = file.head(_HEAD_BYTES)
    if head.startswith(_TIFF_STARTS) or is_jp2(head):
        return False
    return file.path.suffix.lower() in (*TABLE_ENDINGS, *VECTOR_ENDINGS)


def read_samples(reading: SampleReading, grid: Grid) -> SampleTable:
    """Read the samples of a file, and find where they lie on a grid.

    Raises:
        UsageError: the file, its CRS or the place of a sample cannot be right.

    """
    file = reading.file
    taken: tuple[str, ...] = ()
    if file.path.suffix.lower() in TABLE_ENDINGS:
        if reading.layer is not None:
            raise UsageError(f"{file.name}: is a table, which has no layers: leave --layer out")
        table: FeatureTable = read_csv(file, encoding=reading.encoding)
        taken = _coordinate_columns(table, reading)
        table = replace(table, geometries=_points(table, taken))
    elif reading.x_column is not None or reading.y_column is not None:
        raise UsageError(
            f"{file.name}: its points say where they lie; --x-column and --y-column are for tables (CSV)"
        )
    else:
        table = read_features(file, reading.roots, layer=reading.layer, encoding=reading.encoding)
    if not len(table.ids):
        raise UsageError(f"{table.name}: holds no samples")
    crs = _crs(table, reading, taken)
    points = storable_shapes(table, crs, "points", repair=True).geometries  # heights are of no use here
    lonlat = shapely.get_coordinates(points)
    to_grid = Transformer.from_crs(WGS84_SRID, grid.srid, always_xy=True)
    xy_m = np.column_stack(to_grid.transform(lonlat[:, 0], lonlat[:, 1]))
    return SampleTable(table, xy_m, lonlat, taken or _coordinates_beside(table), crs_notes(crs))


def _crs(table: FeatureTable, reading: SampleReading, taken: Sequence[str]) -> FileCrs:
    if taken and reading.srid is None:
        raise UsageError(
            f"{table.name}: a table does not say in what its coordinates {' and '.join(map(repr, taken))} "
            "are written: say it with --srid, 4326 for longitude and latitude, 326nn for UTM zone nn north"
        )
    return crs_of(table, reading.srid)


def _coordinate_columns(table: FeatureTable, reading: SampleReading) -> tuple[str, str]:
    """Columns of x and y.

    Raises:
        UsageError: a stated one is not there, or none is called as coordinates are.

    """
    columns = list(table.columns)
    for option, stated in (("--x-column", reading.x_column), ("--y-column", reading.y_column)):
        if stated is not None and stated not in columns:
            raise UsageError(f"{table.name}: {option} {stated!r}: its columns are {', '.join(columns)}")
    if reading.x_column is not None and reading.y_column is not None:
        if reading.x_column == reading.y_column:
            raise UsageError(f"--x-column and --y-column are both {reading.x_column!r}: name two columns")
        return reading.x_column, reading.y_column
    found = None if reading.x_column or reading.y_column else _usual_pair(columns)
    if found is None:
        raise UsageError(
            f"{table.name}: which columns hold the coordinates? Name them with --x-column and --y-column "
            f"(east and north, or longitude and latitude); its columns are {', '.join(columns)}"
        )
    return found


def _usual_pair(columns: Sequence[str]) -> tuple[str, str] | None:
    by_fold = {column.casefold(): column for column in reversed(columns)}
    pairs = ((by_fold.get(x), by_fold.get(y)) for x, y in zip(X_NAMES, Y_NAMES, strict=True))
    return next(((x, y) for x, y in pairs if x is not None and y is not None), None)


def _coordinates_beside(table: FeatureTable) -> tuple[str, ...]:
    """Columns of a vector file that repeat its coordinates: Y beside X is no yttrium."""
    return _usual_pair(list(table.columns)) or ()


def _points(table: FeatureTable, taken: tuple[str, str]) -> npt.NDArray[np.object_]:
    """Points from two columns.

    Raises:
        UsageError: a coordinate is missing or no number.

    """
    xy = np.full((len(table.ids), 2), np.nan)
    odd: list[str] = []
    for row in range(len(xy)):
        written = [table.columns[column][row] for column in taken]
        try:
            found = [parse_value(value) for value in written]
        except ValueError:
            found = []
        if not found or any(side != 0 or not np.isfinite(value) for value, side in found):
            odd.append(f"{table.row_name(row)}: {written[0]}, {written[1]}")
        else:
            xy[row] = [value for value, _side in found]
    if odd:
        shown = "; ".join(odd[:_SHOWN]) + (f"; and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else "")
        raise UsageError(
            f"{table.name}: {len(odd)} of {len(xy)} samples have no place: {' and '.join(taken)} are to be "
            f"numbers with a decimal point: {shown}"
        )
    points: npt.NDArray[np.object_] = shapely.points(xy)
    return points
