"""Heads, ground and evidence of reports: what a page shows beside the rows of `db.reports.views`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import shapely
from psycopg import Connection

from db.reports.known import require_mines
from db.reports.report import Report, read_report


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


def mine_heads(conn: Connection[Any], codes: Sequence[str] | None = None) -> list[MineHead]:
    """Mines by code; None means all, an empty sequence none.

    Raises:
        UsageError: no mine has one of the codes.

    """
    if codes is not None:
        require_mines(conn, codes)
    rows = conn.execute(
        "select mine_id, code, name, mineral, mining_method, st_asbinary(boundary),"
        " st_asbinary(licence_boundary)"
        ' from lode.mine where %(all)s or code = any(%(codes)s) order by code collate "C"',
        {"all": codes is None, "codes": list(codes or ())},
    ).fetchall()
    return [
        MineHead(*[*row, shapely.from_wkb(outline), licence and shapely.from_wkb(licence)])
        for *row, outline, licence in rows
    ]


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


def summary_rows(conn: Connection[Any], mine_code: str) -> Report:
    """A mine's key figures: its row of ``lode_api.mine_summary``."""
    return read_report(
        conn,
        "select mine_code, mine_name, mineral, mining_method, boundary_area_m2, has_licence_boundary, year,"
        " damaged_area_m2, damaged_share, unlicensed_area_m2, observed_fraction, from_year, to_year,"
        " new_area_m2, treated_area_m2, open_alert_count, severe_alert_count"
        " from lode_api.mine_summary where mine_code = %s",
        [mine_code],
    )


def evidence_runs(conn: Connection[Any], mine_code: str) -> Report:
    """Runs whose ground counts in a mine, with scene and model, from ``lode_api.evidence_by_run``."""
    return read_report(
        conn,
        "select mine_code, mine_name, year, run_id, product, product_version, sensor, acquired_on,"
        " resolution_m, cloud_fraction, scene_sha256, model, architecture, model_sha256, requested_by,"
        " run_finished_at, priority, polygon_count, area_m2"
        " from lode_api.evidence_by_run where mine_code = %s order by year, run_id",
        [mine_code],
    )


def evidence_labels(conn: Connection[Any], mine_code: str) -> Report:
    """What interpreters decided in a mine, from ``lode_api.evidence_by_label``."""
    return read_report(
        conn,
        "select mine_code, mine_name, year, interpreter, land_class, land_class_name_zh, kind, valid_on,"
        " label_source, label_source_sha256, label_count, area_m2"
        " from lode_api.evidence_by_label where mine_code = %s"
        ' order by year, interpreter collate "C", land_class collate "C", valid_on,'
        ' label_source collate "C", label_source_sha256 collate "C"',
        [mine_code],
    )


def alert_rows(conn: Connection[Any], mine_codes: Sequence[str] | None = None) -> Report:
    """Alerts, those that still hold first, most severe and largest first; with a point in each.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all, an empty sequence none.

    """
    return read_report(
        conn,
        "select mine_code, kind, level, year, area_m2, confidence, reason, reason_zh, state, is_current,"
        " st_x(st_pointonsurface(geom)) as longitude, st_y(st_pointonsurface(geom)) as latitude"
        " from lode_api.damage_alert"
        " where %(all)s or mine_code = any(%(codes)s)"
        ' order by is_current desc, level_rank desc, area_m2 desc, mine_code collate "C",'
        ' kind collate "C", year',
        {"all": mine_codes is None, "codes": list(mine_codes or ())},
    )


def sensitive_rows(conn: Connection[Any], mine_codes: Sequence[str] | None = None) -> Report:
    """Damage inside sensitive areas, from ``lode_api.sensitive_overlap``.

    Args:
        conn: connection.
        mine_codes: only these mines; None means all, an empty sequence none.

    """
    return read_report(
        conn,
        "select layer, region_code, region_name, mine_code, mine_name, year, land_class, land_class_name_zh,"
        " kind, area_m2, share_of_mine_damage, share_of_region from lode_api.sensitive_overlap"
        " where %(all)s or mine_code = any(%(codes)s)"
        ' order by layer collate "C", region_code collate "C", mine_code collate "C", year,'
        ' land_class collate "C"',
        {"all": mine_codes is None, "codes": list(mine_codes or ())},
    )


def uncertainty_rows(conn: Connection[Any], mine_code: str | None = None) -> Report:
    """Estimates of the assessments that sampled a mine's ground, or of those of all mines.

    ``mine_codes`` says which ground an assessment's figures hold for; null: that of all mines.
    """
    return read_report(
        conn,
        "select u.assessment, a.mine_codes, u.year, u.land_class, u.land_class_name_zh, u.mapped_area_m2,"
        " u.estimated_area_m2, u.standard_error_m2, u.lower_m2, u.upper_m2, u.users_accuracy,"
        " u.producers_accuracy, u.overall_accuracy, u.sample_count, u.answered_count, u.is_outdated, u.reason"
        " from lode_api.area_uncertainty u join lode.assessment a on a.name = u.assessment"
        " where a.mine_codes is null or a.mine_codes = array[%(code)s]::text[]"
        " or (%(code)s::text is not null and exists ("
        "   select from lode.sample_point p join lode.mine m on m.code = %(code)s"
        "     and st_covers(m.boundary, p.geom)"
        "   where p.assessment_id = a.assessment_id))"
        ' order by u.year, u.assessment collate "C", u.ogc_fid',
        {"code": mine_code},
    )
