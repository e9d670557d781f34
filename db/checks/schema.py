"""Checks of the schema: extensions and their settings, migrations, lode_api, the queue, indexes."""

from __future__ import annotations

from typing import Any

from alembic.script import ScriptDirectory
from psycopg import Connection

from db.api import api_files, installed_api
from db.checks.result import Check, Found, Limits
from db.queue.schema import queue_faults
from db.roles import role_faults
from db.upgrade import alembic_config

_LIBRARIES = """
select 'postgis', extversion, postgis_lib_version() from pg_extension where extname = 'postgis'
union all
select 'postgis_raster', extversion, split_part(postgis_raster_lib_version(), ' ', 1)
from pg_extension where extname = 'postgis_raster'
"""


def _extensions(conn: Connection[Any], _limits: Limits) -> Found:
    rows = conn.execute(
        "select name, installed_version, default_version from pg_available_extensions"
        " where name in ('postgis', 'postgis_raster')"
    ).fetchall()
    installed = {name: version for name, version, _ in rows if version}
    missing = [name for name in ("postgis", "postgis_raster") if name not in installed]
    faults = [f"extension {name} is missing" for name in missing]
    faults += [
        f"extension {name} is at {version}, the server has {newest}"
        for name, version, newest in rows
        if version and version != newest
    ]
    if not missing:
        faults += [
            f"extension {name} is at {version}, but the server's library is {library}"
            for name, version, library in conn.execute(_LIBRARIES)
            if version != library
        ]
    return Found(faults)


def _migrations(conn: Connection[Any], _limits: Limits) -> Found:
    scripts = ScriptDirectory.from_config(alembic_config())
    newest = scripts.get_current_head()
    row = conn.execute("select to_regclass('lode.alembic_version') is not null").fetchone()
    found = None
    if row and row[0]:
        version = conn.execute("select version_num from lode.alembic_version").fetchone()
        found = version[0] if version else None
    if found == newest:
        return Found()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        return Found([f"the schema is at {found}, this Lode ({newest}) is too old for it"])
    return Found([f"the schema is at {found or 'nothing'}, this Lode needs {newest}"])


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


def _api(conn: Connection[Any], _limits: Limits) -> Found:
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
    return Found(faults)


def _queue(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(queue_faults(conn))


def _roles(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(role_faults(conn))


# An index being built is not valid yet.
_INVALID_INDEXES = """
select format('%I.%I', n.nspname, c.relname), i.indrelid::regclass::text
from pg_index i
join pg_class c on c.oid = i.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('lode', 'lode_api', 'lode_raster', 'lode_queue')
  and not (i.indisvalid and i.indisready and i.indislive)
  and not exists (select from pg_stat_progress_create_index b where b.index_relid = i.indexrelid)
order by 1
"""


def _indexes(conn: Connection[Any], _limits: Limits) -> Found:
    rows = conn.execute(_INVALID_INDEXES).fetchall()
    return Found([f"index {index} of {table} is not valid and is not used" for index, table in rows])


_RASTER_SETTINGS = {"postgis.gdal_enabled_drivers": "DISABLE_ALL", "postgis.enable_outdb_rasters": "off"}

_KEPT_SETTINGS = """
select
  coalesce(r.rolname, 'every role'),
  coalesce(d.datname, 'every database'),
  split_part(t.setting, '=', 1),
  substr(t.setting, strpos(t.setting, '=') + 1)
from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole
left join pg_database d on d.oid = s.setdatabase
cross join lateral unnest(s.setconfig) as t(setting)
where split_part(t.setting, '=', 1) = any (%s) and (d.datname is null or d.datname = current_database())
order by 1, 2, 3
"""


def _raster_settings(conn: Connection[Any], _limits: Limits) -> Found:
    conn.execute("select postgis_raster_lib_version()")  # its settings are there once it is loaded
    faults = []
    for name, wanted in _RASTER_SETTINGS.items():
        row = conn.execute("select current_setting(%s, true)", (name,)).fetchone()
        found = row[0] if row else None
        if not _is_closed(wanted, found):
            faults.append(f"{name} is {found!r}: it must be {wanted!r}")
    faults += [
        f"{name} is {value!r} for {role} in {database}: it must be {_RASTER_SETTINGS[name]!r}"
        for role, database, name, value in conn.execute(_KEPT_SETTINGS, (list(_RASTER_SETTINGS),))
        if not _is_closed(_RASTER_SETTINGS[name], value)
    ]
    return Found(faults)


def _is_closed(wanted: str, found: str | None) -> bool:
    # An empty list of drivers enables none, and a switch has many words for off.
    return (found or wanted).lower() in {wanted.lower(), "off", "false", "no", "0"}


CHECKS = (
    Check(
        "PostGIS is installed and up to date",
        "select postgis_extensions_upgrade(), as a superuser",
        _extensions,
    ),
    Check(
        "The schema is at the newest migration",
        "run `lode db upgrade`, or install this database's version of Lode on this machine",
        _migrations,
    ),
    Check("lode_api is complete", "run `lode db upgrade`; after a drop, `--rebuild`", _api),
    Check(
        "The queue's schema fits the installed procrastinate",
        "run `lode db upgrade`, or install this database's version of Lode on this machine",
        _queue,
    ),
    Check(
        "Roles own and may do what they should",
        "run `lode db upgrade` as a superuser, once; a membership: revoke it; see docs/roles.md",
        _roles,
    ),
    Check(
        "Every index is valid",
        "reindex index concurrently <name>; a name that ends in _ccnew or _ccold: drop it",
        _indexes,
    ),
    Check(
        "The server reads no files through rasters",
        "alter system / alter database / alter role ... reset <setting>, as a superuser, and reconnect",
        _raster_settings,
    ),
)
