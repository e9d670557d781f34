"""Checks of what is derived or sealed: areas, samples, styles."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.api import rules_sha256
from db.assessments.seal import seal_faults
from db.checks.result import Check, Found, Limits
from db.qgis.styles import style_faults

_DERIVED = (
    (
        "mine {}: its boundary, licence or code changed after its areas were derived",
        "select distinct m.code from lode.mine m join lode.mine_zone z on z.mine_id = m.mine_id"
        " where z.mine_sha256 <> lode_api.mine_sha256(m.code, m.boundary, m.licence_boundary) order by 1",
    ),
    (
        "mine {}: nothing was derived for it",
        "select m.code from lode.mine m"
        " where not exists (select from lode.mine_zone z where z.mine_id = m.mine_id) order by m.code",
    ),
    (
        "run {} stands for its scene, but nothing was derived for it",
        "select r.run_id from lode.run r join lode.observation o on o.run_id = r.run_id"
        " join lode.scene s on s.scene_id = r.scene_id"
        " where r.is_current and s.superseded_by is null and o.owned is null order by r.run_id",
    ),
    (
        "run {} owns ground, but it does not stand for its scene, or a newer version replaced that",
        "select o.run_id from lode.observation o where o.owned is not null and not exists ("
        " select from lode.run r join lode.scene s on s.scene_id = r.scene_id"
        " where r.run_id = o.run_id and r.is_current and s.superseded_by is null) order by o.run_id",
    ),
    (
        "run {}: the day of its scene lies in another year than its areas",
        "select r.run_id from lode.run r join lode.observation o on o.run_id = r.run_id"
        " join lode.scene s on s.scene_id = r.scene_id"
        " where extract(year from s.acquired_on) <> o.year order by r.run_id",
    ),
    (
        "label {}: the ground that it decides is not what it says now",
        # Ground under a later label is cut away, and not compared.
        "with counting as materialized (select l.label_id, l.land_class_code, l.geom, l.valid_on,"
        " extract(year from l.valid_on)::integer as year"
        " from lode.label l join lode.land_class k on k.land_class_code = l.land_class_code"
        " where l.is_counted or not k.is_mapped)"
        " select coalesce(c.label_id, g.label_id) from counting c"
        " full join lode.interpreted_ground g on g.label_id = c.label_id"
        " where c.label_id is null or (g.year, g.land_class_code) <> (c.year, c.land_class_code)"
        " or (g.label_id is null or not st_orderingequals(g.geom, c.geom)) and not exists ("
        " select from lode.label l join lode.land_class k on k.land_class_code = l.land_class_code"
        " where l.geom && c.geom and (l.is_counted or not k.is_mapped)"
        " and (l.valid_on, l.label_id) > (c.valid_on, c.label_id)"
        " and l.valid_on < make_date(c.year + 1, 1, 1)) order by 1",
    ),
)
"""What is wrong, and the query that finds whose fault it is."""

_LONG_S = 900.0
"""These read every boundary, label and sealed row."""


def _derived(conn: Connection[Any], _limits: Limits) -> Found:
    faults = [said.format(found) for said, query in _DERIVED for (found,) in conn.execute(query)]
    row = conn.execute("select rules_sha256 from lode.derivation").fetchone()
    if row is None or row[0] != rules_sha256():
        faults.append("areas were derived by other rules than this version's")
    return Found(faults)


def _seals(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(seal_faults(conn))


def _styles(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(style_faults(conn))


CHECKS = (
    Check("Derived areas fit what they stand on", "run `lode db refresh`", _derived, _LONG_S),
    Check(
        "Every drawn sample is as it was drawn",
        "restore the assessment from a dump, or draw a new sample",
        _seals,
        _LONG_S,
    ),
    Check("QGIS finds the layers' styles", "run `lode qgis styles`", _styles),
)
