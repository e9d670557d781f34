"""Vector tiles as clients get them: which tile, its bytes, and what GDAL decodes them to."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pyogrio
import shapely
from psycopg import Connection

from db.api import SQL_FOLDER
from tests.clients.world import EVERYWHERE
from tests.grids import cells

Feature = tuple[dict[str, Any], shapely.Geometry]
"""Attributes and geometry (EPSG:3857)."""

WORLD_M = 2 * math.pi * 6378137.0
"""Width of the world in Web Mercator, m."""

GENERAL_ZOOM = int(
    re.findall(
        r"^  select (\d+);$",
        (SQL_FOLDER / "functions" / "tiles" / "largest_general_zoom.sql").read_text("utf-8"),
        flags=re.M,
    )[0]
)
"""The largest zoom that is drawn from generalised outlines."""

CENTRE = cells(EVERYWHERE, "x").centroid
"""Middle of the district of ``tests.clients.world``."""

# As martin asks, shortened to what decides: three integers z, x, y and at most a json besides.
MARTIN_FUNCTIONS = """
select r.routine_name, obj_description(p.oid, 'pg_proc')
from information_schema.routines r
join pg_proc p on r.specific_name = p.proname || '_' || p.oid
cross join lateral (
  select array_agg(lower(a.parameter_name::text) order by a.ordinal_position),
    array_agg(a.data_type::text order by a.ordinal_position)
  from information_schema.parameters a
  where a.specific_name = r.specific_name and a.parameter_mode = 'IN'
) as a(names, kinds)
where r.specific_schema = 'lode_api' and r.data_type = 'bytea' and cardinality(a.names) in (3, 4)
  and a.names[1:3] = '{z,x,y}' and a.kinds[1:3] = '{integer,integer,integer}'
  and coalesce(a.kinds[4], 'json') in ('json', 'jsonb')
order by 1
"""


def tile_at(z: int, point: shapely.Point = CENTRE) -> tuple[int, int, int]:
    """The tile of a zoom that holds a point (EPSG:4326)."""
    x = (point.x + 180) / 360 * 2**z
    y = (1 - math.asinh(math.tan(math.radians(point.y))) / math.pi) / 2 * 2**z
    return z, int(x), int(y)


def fetch(conn: Connection[Any], function: str, tile: tuple[int, int, int], year: int | None = None) -> bytes:
    row = conn.execute(f"select lode_api.{function}(%s, %s, %s, %s::integer)", (*tile, year)).fetchone()
    assert row is not None
    return bytes(row[0])


def decode(content: bytes, tile: tuple[int, int, int], folder: Path) -> dict[str, list[Feature]]:
    """Layers of a tile with attributes and geometry (EPSG:3857), by GDAL's MVT driver."""
    if not content:
        return {}
    z, x, y = tile
    path = folder / str(z) / str(x) / f"{y}.pbf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    found = {}
    for name, _kind in pyogrio.list_layers(path):
        meta, _fids, geometry, columns = pyogrio.raw.read(path, layer=name, CLIP="NO")
        assert str(meta["crs"]) == "EPSG:3857"
        shapes = shapely.from_wkb(geometry)
        rows = zip(*columns, strict=True)
        found[str(name)] = [
            (dict(zip(meta["fields"], row, strict=True)), shape)
            for row, shape in zip(rows, shapes, strict=True)
        ]
    return found


def tile_box(tile: tuple[int, int, int]) -> shapely.Polygon:
    """Ground of a tile without its margin, EPSG:3857."""
    z, x, y = tile
    west, north = x / 2**z * WORLD_M - WORLD_M / 2, WORLD_M / 2 - y / 2**z * WORLD_M
    return shapely.box(west, north - WORLD_M / 2**z, west + WORLD_M / 2**z, north)


def pixel_m(z: int) -> float:
    """Width of a pixel in Web Mercator, m: a tile has 256 of them."""
    return WORLD_M / 2**z / 256
