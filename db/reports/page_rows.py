"""Heads, ground and evidence of reports: what a page shows beside the rows of `db.reports.views`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from psycopg import Connection

from db.errors import UsageError
from db.reports.views import Report


@dataclass(frozen=True)
class MineHead:
    """A mine as reports name it; boundaries in EPSG:4326."""

    mine_id: int
    code: str
    name: str
    mineral: str | None
    mining_method: str | None
    boundary: shapely.Geometry
    licence_boundary: shapely.Geometry | None
    area_m2: float


@dataclass(frozen=True)
class DatabaseFacts:
    """Which database a report was made from, by whom, and by which rules its areas were derived."""

    database: str
    user: str
    made_at: datetime
    postgresql: str
    postgis: str
    schema_revision: str
    rules_sha256: str | None


def mine_heads(conn: Connection[Any], codes: Sequence[str] = ()) -> list[MineHead]:
    """Mines by code, all or some.

    Raises:
        UsageError: no mine has one of the codes.

    """
    rows = conn.execute(
        "select mine_id, code, name, mineral, mining_method, st_asbinary(boundary),"
        " st_asbinary(licence_boundary), st_area(boundary::geography)"
        " from lode.mine where %(all)s or code = any(%(codes)s) order by code",
        {"all": not codes, "codes": list(codes)},
    ).fetchall()
    heads = [
        MineHead(*[*row, shapely.from_wkb(outline), licence and shapely.from_wkb(licence), area_m2])
        for *row, outline, licence, area_m2 in rows
    ]
    missing = sorted(set(codes) - {head.code for head in heads})
    if missing:
        known = [code for (code,) in conn.execute("select code from lode.mine order by code limit 10")]
        some = ", ".join(known) or "none; `lode ingest mines FILE` brings them in"
        raise UsageError(f"no mine has the code {', '.join(missing)}; mines known: {some}")
    return heads


def database_facts(conn: Connection[Any]) -> DatabaseFacts:
    """Which database this is, and who asks."""
    row = conn.execute(
        "select current_database(), session_user::text, now(), current_setting('server_version'),"
        " postgis_lib_version(), (select version_num from lode.alembic_version),"
        " (select rules_sha256 from lode.derivation)"
    ).fetchone()
    if row is None:
        raise RuntimeError("a select without from gave no row")
    return DatabaseFacts(*row)


def evidence_runs(conn: Connection[Any], mine_code: str) -> Report:
    """Runs whose ground counts in a mine, by year, with the scene and the model they come from."""
    return _report(
        conn,
        "select p.year, p.run_id, s.product, s.version as scene_version, e.name as sensor, s.acquired_on,"
        " s.resolution_m, s.cloud_fraction, s.sha256 as scene_sha256, o.name as model, o.architecture,"
        " w.sha256 as model_sha256, r.requested_by, r.finished_at, r.priority,"
        " count(*) as polygon_count, sum(p.area_m2) as area_m2"
        " from lode.mine m join lode.mine_zone z using (mine_id) join lode.mine_piece p using (mine_zone_id)"
        " join lode.run r using (run_id) join lode.scene s using (scene_id)"
        " join lode.sensor e using (sensor_id) join lode.model o using (model_id)"
        " left join lode.model_weights w using (model_id)"
        " where m.code = %s"
        " group by p.year, p.run_id, s.scene_id, e.sensor_id, o.model_id, w.sha256, r.run_id"
        " order by p.year, p.run_id",
        mine_code,
    )


def evidence_labels(conn: Connection[Any], mine_code: str) -> Report:
    """What interpreters decided in a mine, by year, interpreter and class."""
    return _report(
        conn,
        "select p.year, l.interpreter, c.key as land_class, c.name_zh as land_class_name_zh, l.valid_on,"
        " f.name as source_name, f.sha256 as source_sha256, count(distinct p.label_id) as label_count,"
        " sum(p.area_m2) as area_m2"
        " from lode.mine m join lode.mine_zone z using (mine_id) join lode.mine_piece p using (mine_zone_id)"
        " join lode.label l using (label_id) join lode.land_class c on c.land_class_code = p.land_class_code"
        " left join lode.feature_source f on f.feature_source_id = l.feature_source_id"
        " where m.code = %s"
        " group by p.year, l.interpreter, c.land_class_code, l.valid_on, f.feature_source_id"
        " order by p.year, l.interpreter, c.land_class_code, l.valid_on",
        mine_code,
    )


def _report(conn: Connection[Any], query: str, *arguments: object) -> Report:
    cursor = conn.execute(query, arguments)
    return Report(tuple(column.name for column in cursor.description or ()), cursor.fetchall())


def alert_rows(conn: Connection[Any], mine_codes: Sequence[str] = ()) -> Report:
    """Alerts, those that still hold first, most severe and largest first; with a point in each."""
    return _report(
        conn,
        "select mine_code, kind, level, year, area_m2, confidence, reason, reason_zh, state, is_current,"
        " st_x(st_pointonsurface(geom)) as longitude, st_y(st_pointonsurface(geom)) as latitude"
        " from lode_api.damage_alert"
        " where %s or mine_code = any(%s)"
        " order by is_current desc, level_rank desc, area_m2 desc, mine_code, kind, year",
        not mine_codes,
        list(mine_codes),
    )


def sensitive_rows(
    conn: Connection[Any], mine_codes: Sequence[str] = (), region_code: str | None = None
) -> Report:
    """Damage inside sensitive areas, from ``lode_api.sensitive_overlap``."""
    return _report(
        conn,
        "select layer, region_code, region_name, mine_code, mine_name, year, land_class, land_class_name_zh,"
        " kind, area_m2, share_of_mine_damage, share_of_region from lode_api.sensitive_overlap"
        " where (%s or mine_code = any(%s)) and (%s::text is null or region_code = %s)"
        " order by layer, region_code, mine_code, year, land_class",
        not mine_codes,
        list(mine_codes),
        region_code,
        region_code,
    )


def uncertainty_rows(conn: Connection[Any], mine_code: str | None = None) -> Report:
    """Estimates of the assessments that sampled a mine's ground, or of those of all mines.

    ``mine_codes`` says which ground an assessment's figures hold for; null: that of all mines.
    """
    return _report(
        conn,
        "select u.assessment, a.mine_codes, u.year, u.land_class, u.land_class_name_zh, u.mapped_area_m2,"
        " u.estimated_area_m2, u.standard_error_m2, u.lower_m2, u.upper_m2, u.users_accuracy,"
        " u.producers_accuracy, u.overall_accuracy, u.sample_count, u.is_outdated, u.reason"
        " from lode_api.area_uncertainty u join lode.assessment a on a.name = u.assessment"
        " where a.mine_codes is null or a.mine_codes = array[%s]::text[]"
        " or (%s::text is not null and exists ("
        "   select from lode.sample_point p join lode.mine m on m.code = %s and st_covers(m.boundary, p.geom)"
        "   where p.assessment_id = a.assessment_id))"
        " order by u.year, u.assessment, u.ogc_fid",
        mine_code,
        mine_code,
        mine_code,
    )
