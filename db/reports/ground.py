"""Ground and scenes that reports draw: the year map of a mine, its change, and scenes to make chips of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import shapely
from psycopg import Connection
from psycopg.sql import SQL

from db.reports.report import Report, read_report

_RGB_NM = {"red": 660.0, "green": 560.0, "blue": 480.0}
_RGB_REACH_NM = 45.0
"""A band farther from a colour's wavelength than this does not stand for it."""


@dataclass(frozen=True)
class ClassGround:
    """Ground of a class inside a mine in a year, EPSG:4326."""

    land_class_code: int
    geometry: shapely.Geometry


@dataclass(frozen=True)
class ChangeGround:
    """Ground that is new, persists or was treated between two years, EPSG:4326."""

    change: str
    damage_kind: str
    geometry: shapely.Geometry


@dataclass(frozen=True)
class ChipScene:
    """A scene that shows a mine.

    Attributes:
        scene_id, product, sensor, acquired_on, year: which.
        tile_table: its tiles in ``lode_raster``.
        has_tiles: whether that table exists.
        rgb_bands: band numbers of red, green and blue; None: it has no true colours.
        value_offset, value_scale: meaning of the pixels.
        radiometry: what values of two scenes must share to be compared: level, and the instrument where the
            level is the instrument's own.
        clouded: cloud and shadow, EPSG:4326, or None.

    """

    scene_id: int
    product: str
    sensor: str
    acquired_on: date
    year: int
    tile_table: str
    has_tiles: bool
    rgb_bands: tuple[int, int, int] | None
    value_offset: float
    value_scale: float
    radiometry: tuple[str, str]
    clouded: shapely.Geometry | None


def class_ground(conn: Connection[Any], mine_id: int, year: int) -> list[ClassGround]:
    """The year map inside a mine: one shape a class, by code."""
    rows = conn.execute(
        "select p.land_class_code, st_asbinary(st_multi(st_union(coalesce(p.geom, l.geom))))"
        " from lode.mine_piece p"
        " join lode.mine_zone z using (mine_zone_id)"
        " left join lode.landcover l on l.landcover_id = p.landcover_id"
        " where z.mine_id = %s and p.year = %s group by 1 order by 1",
        (mine_id, year),
    )
    return [ClassGround(code, shapely.from_wkb(wkb)) for code, wkb in rows]


def unobserved_ground(conn: Connection[Any], mine_id: int, year: int) -> shapely.Geometry:
    """Ground of a mine that nothing observed in a year; empty where all was observed."""
    row = conn.execute(
        "select st_asbinary(coalesce(st_difference(m.boundary, (select st_union(coalesce(y.geom, z.geom))"
        " from lode.mine_zone z join lode.zone_year y using (mine_zone_id)"
        " where z.mine_id = m.mine_id and y.year = %s)), m.boundary))"
        " from lode.mine m where m.mine_id = %s",
        (year, mine_id),
    ).fetchone()
    return shapely.from_wkb(row[0]) if row else shapely.MultiPolygon()


def unjudged_ground(
    conn: Connection[Any], mine_id: int, from_year: int, to_year: int
) -> shapely.Geometry | None:
    """Ground that two years saw and that is not compared: one of them could not judge it; None: none."""
    row = conn.execute(
        "select st_asbinary(blind_geom) from lode.mine_pair"
        " where mine_id = %s and from_year = %s and to_year = %s",
        (mine_id, from_year, to_year),
    ).fetchone()
    return shapely.from_wkb(row[0]) if row and row[0] else None


def change_ground(conn: Connection[Any], mine_id: int, from_year: int, to_year: int) -> list[ChangeGround]:
    """Ground that is new, persists or was treated between two years, one shape a change and kind."""
    rows = conn.execute(
        "select change, damage_kind, st_asbinary(st_multi(st_collectionextract(st_collect(geom), 3)))"
        " from lode.damage_change where mine_id = %s and from_year = %s and to_year = %s"
        ' group by change, damage_kind order by change collate "C", damage_kind collate "C"',
        (mine_id, from_year, to_year),
    )
    return [ChangeGround(change, kind, shapely.from_wkb(wkb)) for change, kind, wkb in rows]


def chip_scenes(conn: Connection[Any], mine_id: int) -> dict[int, list[ChipScene]]:
    """Scenes that show a mine by year, in drawing order: those that count in the year map come last."""
    rows = conn.execute(
        "select s.scene_id, s.product, e.key, s.acquired_on, extract(year from s.acquired_on)::integer,"
        " s.tile_table, to_regclass(format('lode_raster.%%I', s.tile_table)) is not null, s.band_names,"
        " s.value_offset, s.value_scale, s.processing_level, st_asbinary(s.clouded),"
        " (select array_agg(coalesce(b.common_name, b.name) order by b.position)"
        "   from lode.scene_band b where b.scene_id = s.scene_id),"
        " (select array_agg(case when b.fault is null then b.center_nm end order by b.position)"
        "   from lode.scene_band b where b.scene_id = s.scene_id)"
        " from lode.mine m"
        " join lode.scene s on s.superseded_by is null and st_intersects(s.footprint, m.boundary)"
        " join lode.sensor e using (sensor_id)"
        " left join lode.run r on r.scene_id = s.scene_id and r.is_current"
        " where m.mine_id = %s"
        " order by r.priority nulls first, round(100 * (1 - coalesce(s.cloud_fraction, 0))), s.acquired_on,"
        " s.scene_id",
        (mine_id,),
    ).fetchall()
    scenes: dict[int, list[ChipScene]] = {}
    for *which, names, offset, scale, level, clouded, common, centres_nm in rows:
        bands = _rgb_bands(names, common, centres_nm)
        radiometry = (level, "" if level.endswith("reflectance") else which[2])
        outline = shapely.from_wkb(clouded) if clouded else None
        scene = ChipScene(*[*which, bands, offset, scale, radiometry, outline])
        scenes.setdefault(scene.year, []).append(scene)
    return scenes


def _rgb_bands(
    names: Sequence[str], common: Sequence[str] | None, centres_nm: Sequence[float | None] | None
) -> tuple[int, int, int] | None:
    """Band numbers of red, green and blue: by name, else by wavelength; a single band is shown grey."""
    known = {name.lower(): at for at, name in reversed(list(enumerate(names, start=1)))}
    known |= {name.lower(): at for at, name in reversed(list(enumerate(common or (), start=1)))}
    found = [known.get(colour) or _nearest(centres_nm or (), nm) for colour, nm in _RGB_NM.items()]
    if all(found):
        return found[0] or 0, found[1] or 0, found[2] or 0
    return (1, 1, 1) if len(names) == 1 else None


def _nearest(centres_nm: Sequence[float | None], wanted_nm: float) -> int | None:
    distances = [(abs(nm - wanted_nm), at) for at, nm in enumerate(centres_nm, start=1) if nm is not None]
    distance, band = min(distances, default=(float("inf"), 0))
    return band if distance <= _RGB_REACH_NM else None


_LAYERS = {
    "mine": SQL(
        "select m.code as mine_code, m.name as mine_name, m.mineral, m.mining_method,"
        " st_area(m.boundary::geography) as area_m2, st_asbinary(m.boundary) as geom"
        ' from lode.mine m where {all} or m.code = any({codes}) order by m.code collate "C"'
    ),
    "licence": SQL(
        "select m.code as mine_code, m.name as mine_name,"
        " st_area(m.licence_boundary::geography) as area_m2, st_asbinary(m.licence_boundary) as geom"
        " from lode.mine m where m.licence_boundary is not null and ({all} or m.code = any({codes}))"
        ' order by m.code collate "C"'
    ),
    "damage": SQL(
        "select e.mine_code, e.year, e.land_class, e.kind, e.area_m2, e.is_exclusive, e.unlicensed_area_m2,"
        " e.mean_probability, e.landcover_id, e.label_id, e.run_id, e.model, e.product, e.product_version,"
        " e.scene_sha256, e.acquired_on, e.interpreter, st_asbinary(e.geom) as geom"
        " from lode_api.evidence e"
        " where e.kind in ('excavated', 'occupied', 'subsided', 'treated')"
        " and ({all} or e.mine_code = any({codes}))"
        ' order by e.mine_code collate "C", e.year, e.ogc_fid'
    ),
    "change": SQL(
        "select m.code as mine_code, d.code, d.from_year, d.to_year, d.change, d.damage_kind as kind,"
        " d.area_m2, d.first_damaged_on, d.last_seen_on, st_asbinary(d.geom) as geom"
        " from lode.damage_change d join lode.mine m using (mine_id)"
        " where {all} or m.code = any({codes})"
        ' order by d.from_year, d.to_year, d.code collate "C", d.change collate "C"'
    ),
    "alert": SQL(
        "select a.mine_code, a.kind, a.level, a.year, a.area_m2, a.confidence, a.reason, a.reason_zh,"
        " a.state, a.is_current, st_asbinary(a.geom) as geom"
        " from lode_api.damage_alert a where {all} or a.mine_code = any({codes})"
        ' order by a.mine_code collate "C", a.year, a.kind collate "C"'
    ),
}

GROUND_LAYERS = tuple(_LAYERS)
"""Layers with outlines that a report can be written with."""


def ground_layer(conn: Connection[Any], name: str, mine_codes: Sequence[str] | None = None) -> Report:
    """A layer of ``GROUND_LAYERS``; its last column, geom, is WKB of a MultiPolygon in EPSG:4326.

    Args:
        conn: connection.
        name: which layer.
        mine_codes: only these mines; None means all, an empty sequence none.

    """
    return read_report(conn, _LAYERS[name].format(all=mine_codes is None, codes=list(mine_codes or ())))
