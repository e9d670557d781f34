"""Regions as reports name them, and their rows of the views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection

from db.errors import UsageError
from db.reports.views import Report

_FEW = 10


@dataclass(frozen=True)
class RegionHead:
    """A region; outline in EPSG:4326, and the codes of the mines whose ground it holds some of."""

    region_id: int
    layer: str
    code: str
    name: str
    name_zh: str | None
    outline: shapely.Geometry
    area_m2: float
    mine_codes: tuple[str, ...]


def find_region(conn: Connection[Any], name: str, layer: str | None = None) -> RegionHead:
    """The region of this name (English or Chinese) or code.

    Args:
        conn: connection.
        name: name or code; case does not matter.
        layer: only in this layer; None means all.

    Raises:
        UsageError: there is none, or several: the message lists them.

    """
    rows = conn.execute(
        "select r.region_id, l.key, r.code, r.name, r.name_zh, st_asbinary(r.geom),"
        " (select sum(p.area_m2) from lode.region_part p where p.region_id = r.region_id),"
        " array(select m.code from lode.region_mine x join lode.mine m using (mine_id)"
        "   where x.region_id = r.region_id order by m.code)"
        " from lode.region r join lode.region_layer l using (region_layer_id)"
        " where lower(%(name)s) in (lower(r.name), lower(r.name_zh), lower(r.code))"
        " and (%(layer)s::text is null or l.key = %(layer)s) order by l.key, r.code",
        {"name": name, "layer": layer},
    ).fetchall()
    if len(rows) > 1:
        found = ", ".join(f"{row[3]} ({row[1]} {row[2]})" for row in rows[:_FEW])
        raise UsageError(
            f"{name} names {len(rows)} regions: {found}; name the layer with --layer or the code"
        )
    if not rows:
        known = conn.execute(
            "select l.key, r.name from lode.region r join lode.region_layer l using (region_layer_id)"
            " where %(layer)s::text is null or l.key = %(layer)s order by l.key, r.code limit %(few)s",
            {"layer": layer, "few": _FEW},
        ).fetchall()
        some = ", ".join(f"{region} ({key})" for key, region in known)
        raise UsageError(
            f"no region is called {name}{f' in layer {layer}' if layer else ''}; regions known: "
            + (some or "none; `lode ingest regions FILE` brings them in")
        )
    *row, outline, area_m2, mine_codes = rows[0]
    return RegionHead(*[*row, shapely.from_wkb(outline), area_m2, tuple(mine_codes)])


def region_damage_report(conn: Connection[Any], region_id: int) -> Report:
    """Damaged area of a region by year and class, from ``lode_api.damage_by_region_year``."""
    return _of_region(
        conn,
        "select v.layer, v.region_code, v.region_name, v.year, v.land_class, v.land_class_name_zh, v.kind,"
        " v.area_m2, v.in_mine_area_m2, v.outside_mine_area_m2, v.interpreted_area_m2, v.mine_count,"
        " v.observed_fraction, v.reason"
        " from lode_api.damage_by_region_year v join lode.region_layer l on l.key = v.layer"
        " join lode.region r on r.region_layer_id = l.region_layer_id and r.code = v.region_code"
        " where r.region_id = %s order by v.year, v.kind, v.land_class",
        region_id,
    )


def region_series_report(conn: Connection[Any], region_id: int) -> Report:
    """The three series of a region by year, from ``lode_api.active_newly_cumulative_by_region``."""
    return _of_region(
        conn,
        "select v.layer, v.region_code, v.region_name, v.year, v.active_area_m2, v.newly_area_m2,"
        " v.cumulative_area_m2, v.observed_fraction"
        " from lode_api.active_newly_cumulative_by_region v join lode.region_layer l on l.key = v.layer"
        " join lode.region r on r.region_layer_id = l.region_layer_id and r.code = v.region_code"
        " where r.region_id = %s order by v.year",
        region_id,
    )


def _of_region(conn: Connection[Any], query: str, region_id: int) -> Report:
    cursor = conn.execute(query, (region_id,))
    return Report(tuple(column.name for column in cursor.description or ()), cursor.fetchall())
