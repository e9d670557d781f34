"""Regions and their layers: all SQL about ``lode.region``. A region is known by its layer and code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection

from db.errors import UsageError
from db.labels import ewkb_hex


@dataclass(frozen=True)
class RegionLayer:
    """A layer of regions.

    Attributes:
        key: what commands call it: lower-case letters, digits and underscores.
        name: its name; None: what is stored stays, else the key.
        name_zh: its Chinese name; None: what is stored stays.
        is_protected: whether its ground must not be damaged; None: what is stored stays, else it may.

    """

    key: str
    name: str | None = None
    name_zh: str | None = None
    is_protected: bool | None = None


@dataclass(frozen=True)
class NewRegion:
    """A region to be stored; its outline is a MultiPolygon in EPSG:4326."""

    code: str
    name: str
    name_zh: str | None
    geometry: shapely.MultiPolygon


@dataclass(frozen=True)
class RegionCounts:
    """What became of the regions of a file."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int


# A column that the file does not have keeps what the database has.
_UPDATE = """
update lode.region r set
  name = i.name,
  name_zh = case when %(has_name_zh)s then i.name_zh else r.name_zh end,
  geom = i.geom
from region_in i
where r.region_layer_id = %(layer)s and r.code = i.code
  and (
    (r.name, case when %(has_name_zh)s then r.name_zh end) is distinct from (i.name, i.name_zh)
    or not st_orderingequals(r.geom, i.geom)
  )
"""

_INSERT = """
insert into lode.region (region_layer_id, code, name, name_zh, geom)
select %(layer)s, i.code, i.name, i.name_zh, i.geom
from region_in i
where not exists (select from lode.region r where r.region_layer_id = %(layer)s and r.code = i.code)
order by i.position
"""


def check_layer_key(key: str) -> None:
    """Refuse what is no key of a layer.

    Raises:
        UsageError: it holds other characters than keys do.

    """
    if not re.fullmatch("[a-z][a-z0-9_]{0,62}", key):
        raise UsageError(
            f"--layer-key {key!r}: write it with lower-case letters, digits and underscores, like county or "
            "red_line; what it is called in reports is said with --name and --name-zh"
        )


def upsert_layer(conn: Connection[Any], layer: RegionLayer) -> int:
    """Store a layer; what is not said of one that is there stays. Returns its key in the database."""
    row = conn.execute(
        "insert into lode.region_layer as l (key, name, name_zh, is_protected)"
        " values (%(key)s, coalesce(%(name)s, %(key)s), %(name_zh)s, coalesce(%(protected)s, false))"
        " on conflict (key) do update set name = coalesce(%(name)s, l.name),"
        " name_zh = coalesce(%(name_zh)s, l.name_zh),"
        " is_protected = coalesce(%(protected)s, l.is_protected)"
        " returning region_layer_id",
        {
            "key": layer.key,
            "name": layer.name,
            "name_zh": layer.name_zh,
            "protected": layer.is_protected,
        },
    ).fetchone()
    if row is None:
        raise RuntimeError("the layer was not stored")
    return int(row[0])


def upsert_regions(
    conn: Connection[Any],
    layer_id: int,
    regions: Sequence[NewRegion],
    *,
    source_id: int,
    has_name_zh: bool,
    replaces: Sequence[int] = (),
) -> RegionCounts:
    """Store regions of a layer by code: new ones are inserted, changed ones updated; totals follow.

    Args:
        conn: connection inside a transaction.
        layer_id: their layer.
        regions: the regions; codes are unique.
        source_id: the file they came from.
        has_name_zh: whether the file has Chinese names; otherwise what is stored stays.
        replaces: sources whose other regions of the layer are deleted.

    """
    _stage(conn, regions)
    values = {"layer": layer_id, "has_name_zh": has_name_zh}
    deleted = conn.execute(
        "delete from lode.region where region_layer_id = %s and feature_source_id = any(%s)"
        " and code not in (select code from region_in)",
        (layer_id, list(replaces)),
    ).rowcount
    updated = conn.execute(_UPDATE, values).rowcount
    inserted = conn.execute(_INSERT, values).rowcount
    conn.execute(
        "update lode.region r set feature_source_id = %(source)s from region_in i"
        " where r.region_layer_id = %(layer)s and r.code = i.code"
        " and r.feature_source_id is distinct from %(source)s",
        {"source": source_id, "layer": layer_id},
    )
    conn.execute("drop table region_in")
    return RegionCounts(inserted, updated, len(regions) - updated - inserted, deleted)


def _stage(conn: Connection[Any], regions: Sequence[NewRegion]) -> None:
    conn.execute(
        "create temporary table region_in (position integer, code text primary key, name text, name_zh text,"
        " geom geometry(multipolygon, 4326)) on commit drop"
    )
    with (
        conn.cursor() as cursor,
        cursor.copy("copy region_in (position, code, name, name_zh, geom) from stdin") as copy,
    ):
        for position, region in enumerate(regions):
            copy.write_row((position, region.code, region.name, region.name_zh, ewkb_hex(region.geometry)))
    conn.execute("analyze region_in")


def count_regions_of_source(conn: Connection[Any], source_id: int) -> int:
    """How many regions belong to a file now."""
    row = conn.execute(
        "select count(*) from lode.region where feature_source_id = %s", (source_id,)
    ).fetchone()
    return 0 if row is None else int(row[0])
