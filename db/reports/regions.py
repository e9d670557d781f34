"""Regions as reports name them, and their rows of the views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection

from db.errors import UsageError
from db.reports.report import Report, read_report

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
        "select s.ogc_fid, s.layer, s.region_code, s.region_name, s.region_name_zh, st_asbinary(r.geom),"
        " s.area_m2, array(select m.code from lode.region_mine x join lode.mine m using (mine_id)"
        '   where x.region_id = s.ogc_fid order by m.code collate "C")'
        " from lode_api.region_summary s join lode.region r on r.region_id = s.ogc_fid"
        " where lower(%(name)s) in (lower(r.name), lower(r.name_zh), lower(r.code))"
        " and (%(layer)s::text is null or s.layer = %(layer)s)"
        ' order by s.layer collate "C", s.region_code collate "C"',
        {"name": name, "layer": layer},
    ).fetchall()
    if len(rows) > 1:
        found = ", ".join(f"{row[3]} ({row[1]} {row[2]})" for row in rows[:_FEW]) + _more(len(rows))
        raise UsageError(
            f"{name} names {len(rows)} regions: {found}; name the layer with --layer or the code"
        )
    if not rows:
        known = conn.execute(
            "select l.key, r.name from lode.region r join lode.region_layer l using (region_layer_id)"
            " where %(layer)s::text is null or l.key = %(layer)s"
            ' order by l.key collate "C", r.code collate "C"',
            {"layer": layer},
        ).fetchall()
        some = ", ".join(f"{region} ({key})" for key, region in known[:_FEW]) + _more(len(known))
        raise UsageError(
            f"no region is called {name}{f' in layer {layer}' if layer else ''}; regions known: "
            + (some or "none; `lode ingest regions FILE` brings them in")
        )
    *row, outline, area_m2, mine_codes = rows[0]
    return RegionHead(*[*row, shapely.from_wkb(outline), area_m2, tuple(mine_codes)])


def _more(count: int) -> str:
    return f" and {count - _FEW} more" if count > _FEW else ""


def region_damage_report(conn: Connection[Any], region: RegionHead) -> Report:
    """Damaged area of a region by year and class, from ``lode_api.damage_by_region_year``."""
    return read_report(
        conn,
        "select layer, region_code, region_name, year, land_class, land_class_name_zh, kind, area_m2,"
        " in_mine_area_m2, outside_mine_area_m2, interpreted_area_m2, mine_count, observed_fraction, reason"
        " from lode_api.damage_by_region_year where layer = %s and region_code = %s"
        ' order by year, kind collate "C", land_class collate "C"',
        [region.layer, region.code],
    )


def region_series_report(conn: Connection[Any], region: RegionHead) -> Report:
    """The three series of a region by year, from ``lode_api.active_newly_cumulative_by_region``."""
    return read_report(
        conn,
        "select layer, region_code, region_name, year, active_area_m2, newly_area_m2, cumulative_area_m2,"
        " observed_fraction from lode_api.active_newly_cumulative_by_region"
        " where layer = %s and region_code = %s order by year",
        [region.layer, region.code],
    )


def region_mines_report(conn: Connection[Any], region: RegionHead) -> Report:
    """Mines that lie in a region, wholly or in part, from ``lode_api.mine_in_region``."""
    return read_report(
        conn,
        "select layer, region_code, region_name, mine_code, mine_name, is_whole, mine_area_m2,"
        " inside_area_m2, inside_share from lode_api.mine_in_region"
        ' where layer = %s and region_code = %s order by mine_code collate "C"',
        [region.layer, region.code],
    )


def region_layer(conn: Connection[Any], region: RegionHead) -> Report:
    """The region as a layer; the last column, geom, is WKB of its outline in EPSG:4326."""
    return read_report(
        conn,
        "select s.layer, s.region_code, s.region_name, s.region_name_zh, s.area_m2, s.mine_count,"
        " st_asbinary(r.geom) as geom"
        " from lode_api.region_summary s join lode.region r on r.region_id = s.ogc_fid"
        " where s.ogc_fid = %s",
        [region.region_id],
    )
