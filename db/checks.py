"""`lode db check`: a list of checks, each with what it found and a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from alembic.script import ScriptDirectory
from psycopg import Connection

from db.api import api_files, installed_api, rules_sha256
from db.assessments.seal import seal_faults
from db.qgis.styles import style_faults
from db.raster.faults import raster_table_faults
from db.upgrade import alembic_config


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check; ``faults`` is empty when all is well."""

    title: str
    faults: list[str]
    hint: str


def _extensions(conn: Connection[Any]) -> CheckResult:
    rows = conn.execute(
        "select name, installed_version, default_version from pg_available_extensions"
        " where name in ('postgis', 'postgis_raster')"
    ).fetchall()
    installed = {name: version for name, version, _ in rows if version}
    faults = [
        f"extension {name} is missing" for name in ("postgis", "postgis_raster") if name not in installed
    ]
    faults += [
        f"extension {name} is at {version}, the server has {newest}"
        for name, version, newest in rows
        if version and version != newest
    ]
    return CheckResult(
        "PostGIS is installed and up to date", faults, "select postgis_extensions_upgrade(), as a superuser"
    )


def _migrations(conn: Connection[Any]) -> CheckResult:
    newest = ScriptDirectory.from_config(alembic_config()).get_current_head()
    row = conn.execute("select to_regclass('lode.alembic_version') is not null").fetchone()
    found = None
    if row and row[0]:
        version = conn.execute("select version_num from lode.alembic_version").fetchone()
        found = version[0] if version else None
    faults = [] if found == newest else [f"the schema is at {found or 'nothing'}, this Lode needs {newest}"]
    return CheckResult("The schema is at the newest migration", faults, "run `lode db upgrade`")


_PRESENT = """
select 'view', viewname::text, true from pg_views where schemaname = 'lode_api'
union all
select 'function', p.proname::text, true from pg_proc p where p.pronamespace = 'lode_api'::regnamespace
union all
select 'sequence', sequencename::text, true from pg_sequences where schemaname = 'lode_api'
union all
select 'trigger', c.relname || '.' || t.tgname, t.tgenabled in ('O', 'A')
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where c.relnamespace = 'lode'::regnamespace and not t.tgisinternal
"""


def _api(conn: Connection[Any]) -> CheckResult:
    with conn.cursor() as cursor:
        installed = {(kind, name): digest for kind, name, digest in installed_api(cursor)}
    wanted = {(file.kind, file.name): file.sha256 for file in api_files()}
    faults = [
        f"{kind} lode_api.{name} is missing or of another version"
        for (kind, name), digest in wanted.items()
        if installed.get((kind, name)) != digest
    ]
    present = {(kind, name): is_on for kind, name, is_on in conn.execute(_PRESENT)}
    faults += [
        f"{kind} {name} was {'switched off' if (kind, name) in present else 'dropped'}"
        for kind, name in installed
        if not present.get((kind, name), False)
    ]
    return CheckResult("lode_api is complete", faults, "run `lode db upgrade`; after a drop, `--rebuild`")


def _raster_tables(conn: Connection[Any]) -> CheckResult:
    faults = [f"{fault.table}: {fault.fault}; {fault.hint}" for fault in raster_table_faults(conn)]
    return CheckResult(
        "Every raster table has its key, index and constraints",
        faults,
        "never VACUUM FULL, CLUSTER or reload a raster table: GIS clients lose its key; ingest it again",
    )


def _orphans(conn: Connection[Any]) -> CheckResult:
    rows = conn.execute(
        "select s.product, s.tile_table from lode.scene s"
        " where to_regclass(format('lode_raster.%I', s.tile_table)) is null order by s.product"
    ).fetchall()
    faults = [f"scene {product}: its tile table lode_raster.{table} is gone" for product, table in rows]
    return CheckResult(
        "Every scene has its tiles", faults, "restore the table from a dump, or ingest it again"
    )


def _interrupted(conn: Connection[Any]) -> CheckResult:
    rows = conn.execute(
        "select r.run_id, r.started_at from lode.run r where r.status = 'running' and not exists ("
        " select from pg_locks l where l.locktype = 'advisory' and l.objid = r.run_id and l.objsubid = 2)"
    ).fetchall()
    faults = [
        f"run {run_id}, started {started:%Y-%m-%d %H:%M}, has no worker any more" for run_id, started in rows
    ]
    return CheckResult("No run was left half done", faults, "run `lode infer` for its scene and model again")


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


def _derived(conn: Connection[Any]) -> CheckResult:
    faults = [said.format(found) for said, query in _DERIVED for (found,) in conn.execute(query)]
    row = conn.execute("select rules_sha256 from lode.derivation").fetchone()
    if row is None or row[0] != rules_sha256():
        faults.append("areas were derived by other rules than this version's")
    return CheckResult("Derived areas fit what they stand on", faults, "run `lode db refresh`")


def _seals(conn: Connection[Any]) -> CheckResult:
    return CheckResult(
        "Every drawn sample is as it was drawn",
        seal_faults(conn),
        "restore the assessment from a dump, or draw a new sample",
    )


def _styles(conn: Connection[Any]) -> CheckResult:
    return CheckResult("QGIS finds the layers' styles", style_faults(conn), "run `lode qgis styles`")


CHECKS: tuple[Callable[[Connection[Any]], CheckResult], ...] = (
    _extensions,
    _migrations,
    _api,
    _raster_tables,
    _orphans,
    _interrupted,
    _derived,
    _seals,
    _styles,
)
_FIRST_CHECKS = 2


def run_checks(conn: Connection[Any]) -> list[CheckResult]:
    """Run all checks; those that need the schema are left out while it is missing or old."""
    results = [check(conn) for check in CHECKS[:_FIRST_CHECKS]]
    if any(result.faults for result in results if "migration" in result.title):
        return results
    return results + [check(conn) for check in CHECKS[_FIRST_CHECKS:]]
