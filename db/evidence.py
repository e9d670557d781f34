"""Evidence for ore on one grid: all SQL about ``lode.evidence_area`` and ``lode.evidence_layer``.

A study area is a grid and the ground that is judged. Each of its layers has a table of tiles of its own in
``lode_raster`` (``evidence_<id>``): a band of float32 on that grid, NaN where there is no value; where
samples were gridded a second band holds its error.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from psycopg import Connection, errors
from psycopg.types.json import Jsonb

from db.errors import RetryError, UsageError
from db.raster import Grid, RasterReader, RasterWriter
from db.raster.tables import set_locally

KINDS = ("geochemistry", "geophysics", "geology", "spectral")
"""What a layer can be evidence of."""

ERROR_KINDS = ("kriging_standard_error", "cross_validation_error")
"""What the error of a layer can be."""

NODATA = float("nan")
"""Value of cells without one, as PostGIS, GDAL and QGIS know it too."""

TILE_PX = 256
DROP_WAIT_S = 60.0
_ATTEMPT_MS = 1000

_AREA = """
select
  evidence_area_id, name, st_asbinary(geom), srid, origin_x, origin_y, resolution_m, resolution_y_m, width_px,
  height_px
from lode.evidence_area
"""

_LAYER = """
select
  evidence_layer_id, evidence_area_id, name, kind, element, unit, source_name, sha256, resampling,
  source_resolution_m, shift_x_px, shift_y_px, valid_fraction, error_kind, gridding, tile_table
from lode.evidence_layer
"""

_INSERT_LAYER = """
insert into lode.evidence_layer (
  evidence_layer_id, evidence_area_id, name, kind, element, unit, source_name, sha256, resampling,
  source_resolution_m, shift_x_px, shift_y_px, valid_fraction, error_kind, gridding, tile_table
) values (
  %(evidence_layer_id)s, %(evidence_area_id)s, %(name)s, %(kind)s, %(element)s, %(unit)s, %(source_name)s,
  %(sha256)s, %(resampling)s, %(source_resolution_m)s, %(shift_x_px)s, %(shift_y_px)s, %(valid_fraction)s,
  %(error_kind)s, %(gridding)s, %(tile_table)s
)
"""


@dataclass(frozen=True)
class EvidenceArea:
    """A study area.

    Attributes:
        evidence_area_id: key.
        name: what people call it by.
        geometry: ground that is judged, EPSG:4326; its edges are shorter than about a kilometre, so that
            transforming the vertices alone moves nothing.
        grid: grid of all its layers, in metres.

    """

    evidence_area_id: int
    name: str
    geometry: shapely.MultiPolygon
    grid: Grid


@dataclass(frozen=True)
class NewLayer:
    """A layer to be stored.

    Attributes:
        evidence_area_id: its study area.
        name: name within the area.
        kind: one of ``KINDS``.
        element: element or oxide it is the content of; None: of none.
        unit: unit of its values, where known.
        source_name, sha256: the file it came from.
        resampling: how it was brought onto the grid.
        source_resolution_m: cell width in the file, m; None: no raster.
        shift_x_px, shift_y_px: how far the file's cells lie east and south of the grid's, in cells of the
            area, -0.5 to 0.5; None where their edges have nothing in common.
        valid_fraction: share of the judged ground with a value, 0..1.
        error_kind: one of ``ERROR_KINDS``: what its second band holds; None: it has no error.
        gridding: how samples were gridded, and how well, see docs/prospecting.md; None: it came as a raster.

    """

    evidence_area_id: int
    name: str
    kind: str
    element: str | None
    unit: str | None
    source_name: str
    sha256: str
    resampling: str
    source_resolution_m: float | None
    shift_x_px: float | None
    shift_y_px: float | None
    valid_fraction: float
    error_kind: str | None = None
    gridding: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class EvidenceLayer(NewLayer):
    """A stored layer, with its key and its table of tiles in ``lode_raster``."""

    evidence_layer_id: int
    tile_table: str


def _area(row: Sequence[Any]) -> EvidenceArea:
    area_id, name, geometry, *grid = row
    return EvidenceArea(area_id, name, shapely.from_wkb(geometry), Grid(*grid))


def _layer(row: Sequence[Any]) -> EvidenceLayer:
    layer_id, *facts, tile_table = row
    return EvidenceLayer(*facts, evidence_layer_id=layer_id, tile_table=tile_table)


def list_areas(conn: Connection[Any]) -> list[EvidenceArea]:
    """All study areas, by name."""
    return [_area(row) for row in conn.execute(_AREA + " order by name")]


def find_area(conn: Connection[Any], name: str) -> EvidenceArea | None:
    """Find a study area by its name; None when there is none."""
    row = conn.execute(_AREA + " where name = %s", (name,)).fetchone()
    return None if row is None else _area(row)


def area_by_name(conn: Connection[Any], name: str) -> EvidenceArea:
    """Find a study area by its name.

    Raises:
        UsageError: there is none; the message lists what there is.

    """
    found = find_area(conn, name)
    if found is not None:
        return found
    names = [row[0] for row in conn.execute("select name from lode.evidence_area order by name")]
    if not names:
        raise UsageError(f"there is no study area {name!r}, nor any other: make it with `lode ingest area`")
    raise UsageError(f"there is no study area {name!r}; there are: {', '.join(names)}")


def insert_area(conn: Connection[Any], name: str, grid: Grid, geometry: shapely.MultiPolygon) -> EvidenceArea:
    """Store a study area.

    Args:
        conn: connection inside a transaction.
        name: its name, which is free.
        grid: its grid, in metres.
        geometry: ground that is judged, valid, EPSG:4326.

    """
    row = conn.execute(
        "insert into lode.evidence_area (name, srid, origin_x, origin_y, resolution_m, resolution_y_m,"
        " width_px, height_px, geom)"
        " values (%(name)s, %(srid)s, %(origin_x)s, %(origin_y)s, %(resolution_x)s,"
        " %(resolution_y)s, %(width_px)s, %(height_px)s, st_geomfromwkb(%(geom)s, 4326))"
        " returning evidence_area_id",
        {"name": name, "geom": shapely.to_wkb(geometry), **asdict(grid)},
    ).fetchone()
    if row is None:
        raise RuntimeError("the study area was not inserted")
    return EvidenceArea(row[0], name, geometry, grid)


def delete_area(conn: Connection[Any], area: EvidenceArea) -> int:
    """Delete a study area with its layers and their tiles; returns how many layers it had.

    Raises:
        UsageError: sets of patches or searches stand on it.
        RetryError: its tiles were being read for ``DROP_WAIT_S``.

    """
    layers = list_layers(conn, area)
    conn.execute("delete from lode.evidence_layer where evidence_area_id = %s", (area.evidence_area_id,))
    try:
        with conn.transaction():
            conn.execute(
                "delete from lode.evidence_area where evidence_area_id = %s", (area.evidence_area_id,)
            )
    except errors.ForeignKeyViolation as error:
        said = f"study area {area.name!r} stays: sets of patches or searches for ore stand on it"
        raise UsageError(said) from error
    for layer in layers:
        drop_tiles(conn, layer)
    return len(layers)


def list_layers(conn: Connection[Any], area: EvidenceArea) -> list[EvidenceLayer]:
    """Layers of a study area, in the order in which they came in."""
    rows = conn.execute(
        _LAYER + " where evidence_area_id = %s order by evidence_layer_id", (area.evidence_area_id,)
    )
    return [_layer(row) for row in rows]


def layers_by_name(
    conn: Connection[Any], area: EvidenceArea, names: Sequence[str] | None = None
) -> list[EvidenceLayer]:
    """Layers of a study area with grid (``area.grid``) and tile tables.

    Args:
        conn: connection.
        area: the study area.
        names: layers in the order wanted; None for all, in the order in which they came in.

    Raises:
        UsageError: a layer is not there, or the area has none; the message lists what there is.

    """
    layers = {layer.name: layer for layer in list_layers(conn, area)}
    if not layers:
        raise UsageError(f"study area {area.name!r} has no layers: bring them with `lode ingest evidence`")
    if names is None:
        return list(layers.values())
    missing = [name for name in names if name not in layers]
    if missing:
        raise UsageError(
            f"study area {area.name!r} has no layer {', '.join(map(repr, missing))}; "
            f"there are: {', '.join(layers)}"
        )
    return [layers[name] for name in names]


def find_layer(conn: Connection[Any], area: EvidenceArea, name: str) -> EvidenceLayer | None:
    """Find a layer of a study area by its name; None when there is none."""
    row = conn.execute(
        _LAYER + " where evidence_area_id = %s and name = %s", (area.evidence_area_id, name)
    ).fetchone()
    return None if row is None else _layer(row)


def insert_layer(
    conn: Connection[Any], layer: NewLayer, *, replaces: EvidenceLayer | None = None
) -> EvidenceLayer:
    """Enter a layer; its tiles are then written into ``tile_table`` in the same transaction.

    Args:
        conn: connection inside a transaction.
        layer: the layer.
        replaces: the layer of that name, whose row goes now; its tiles go with ``drop_tiles``, which comes
            last since it keeps others waiting.

    """
    if replaces is not None:
        conn.execute(
            "delete from lode.evidence_layer where evidence_layer_id = %s", (replaces.evidence_layer_id,)
        )
    key = "select nextval(pg_get_serial_sequence('lode.evidence_layer', 'evidence_layer_id'))"
    row = conn.execute(key).fetchone()
    if row is None:
        raise RuntimeError("lode.evidence_layer has no sequence")
    stored = EvidenceLayer(**asdict(layer), evidence_layer_id=row[0], tile_table=f"evidence_{row[0]}")
    gridding = None if layer.gridding is None else Jsonb(layer.gridding)
    conn.execute(_INSERT_LAYER, asdict(stored) | {"gridding": gridding})
    return stored


def delete_layer(conn: Connection[Any], layer: EvidenceLayer) -> None:
    """Delete a layer and its tiles.

    Raises:
        RetryError: its tiles were being read for ``DROP_WAIT_S``.

    """
    conn.execute("delete from lode.evidence_layer where evidence_layer_id = %s", (layer.evidence_layer_id,))
    drop_tiles(conn, layer)


def drop_tiles(conn: Connection[Any], layer: EvidenceLayer, *, wait_s: float = DROP_WAIT_S) -> None:
    """Drop the tiles of a layer whose row is gone, with the rights of the tables' owner.

    Waits for readers in short attempts, since whoever wants to read waits behind this one.

    Args:
        conn: connection inside a transaction.
        layer: the layer.
        wait_s: how long to try, seconds.

    Raises:
        RetryError: they were being read all that time.
        UsageError: the database lacks the function: it is of an older version.

    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            with conn.transaction():
                before = set_locally(conn, "lock_timeout", f"{_ATTEMPT_MS}ms")
                conn.execute(
                    "select lode_api.drop_tile_table('evidence_tile', %s, %s)",
                    (layer.evidence_layer_id, layer.tile_table),
                )
                set_locally(conn, "lock_timeout", before)
        except errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise RetryError(
                    f"the tiles of layer {layer.name!r} were being read for {wait_s:.0f} s and could not be "
                    "deleted: close the programs that show them, and try again"
                ) from error
        except errors.UndefinedFunction as error:
            raise UsageError("the database cannot drop tables of tiles yet: run `lode db upgrade`") from error
        else:
            return


def sets_with_layer(conn: Connection[Any], layer: EvidenceLayer) -> list[str]:
    """Names of the sets of patches that were cut from a layer."""
    rows = conn.execute(
        "select name from lode.prospect_set where evidence_area_id = %s and channels @> %s order by name",
        (layer.evidence_area_id, Jsonb([{"name": layer.name, "kind": "evidence"}])),
    )
    return [row[0] for row in rows]


def read_layer(conn: Connection[Any], layer: EvidenceLayer) -> npt.NDArray[np.float32]:
    """Values of a layer: (height, width) on the grid of its area, NaN where there is none."""
    return _read_band(conn, layer, 1)


def read_error(conn: Connection[Any], layer: EvidenceLayer) -> npt.NDArray[np.float32] | None:
    """Error of a layer's values: (height, width), NaN where there is no value; None where it has none."""
    return None if layer.error_kind is None else _read_band(conn, layer, 2)


def _read_band(conn: Connection[Any], layer: EvidenceLayer, band: int) -> npt.NDArray[np.float32]:
    reader = RasterReader(conn, layer.tile_table)
    size = (reader.grid.height_px, reader.grid.width_px)
    values: npt.NDArray[np.float32] = reader.read(0, 0, *size, bands=[band])[0]
    return values


def write_layer(
    conn: Connection[Any],
    area: EvidenceArea,
    layer: EvidenceLayer,
    values: npt.NDArray[np.float32],
    *,
    error: npt.NDArray[np.float32] | None = None,
    replaces: EvidenceLayer | None = None,
) -> None:
    """Write the tiles of a layer that was just inserted; the caller then commits.

    Args:
        conn: connection inside the transaction that inserted it.
        area: its study area.
        layer: the layer.
        values: (height, width) on the area's grid, NaN where there is none.
        error: error of each value, of a layer with ``error_kind``.
        replaces: the layer whose place it takes, and whose tiles go.

    Raises:
        UsageError: the values do not fit the grid.
        ValueError: an error without its kind, or a kind without its error.
        RetryError: tables of tiles were in use for minutes.

    """
    if (error is None) != (layer.error_kind is None):
        raise ValueError(f"layer {layer.name!r}: error_kind and error are given together, or neither")
    bands = np.stack([values] if error is None else [values, error])
    unit = "" if layer.unit is None else f", {layer.unit}"
    second = "" if layer.error_kind is None else f"; band 2: {layer.error_kind}"
    writer = RasterWriter(
        conn,
        parent="evidence_tile",
        owner_id=layer.evidence_layer_id,
        table=layer.tile_table,
        grid=area.grid,
        dtype=np.float32,
        band_count=len(bands),
        nodata=NODATA,
        tile_px=TILE_PX,
        comment=f"Layer {layer.name} of study area {area.name} ({layer.kind}{unit}){second}",
    )
    writer.write_rows(bands)
    if replaces is not None:
        drop_tiles(conn, replaces)
    writer.finish()
