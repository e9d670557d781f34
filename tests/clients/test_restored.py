"""A database restored from a dump under another name: everything of it, and everything that works in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from db import landcover, runs
from db.checks import run_checks
from db.connection import connect
from db.describe import describe_catalogue
from db.embedded import Cluster
from db.upgrade import upgrade
from db.watch import require_current
from tests.catalogue_rows import add_model, add_scene, ewkb
from tests.clients.world import fill_world
from tests.conftest import copied_database
from tests.grids import cells
from tests.rasters import noise, write_table
from tests.restored import restore_copy
from tests.support import lode_here

VISITOR = "lode_test_visitor"


COPY = "lode_test_other_name"


@pytest.fixture(scope="module")
def urls(cluster: Cluster, template_database: str) -> Iterator[tuple[str, str]]:
    """The district with a waiting job and grants to a role of its own, and its copy. Nobody changes them."""
    with copied_database(cluster, template_database) as source:
        with connect(source) as conn:
            fill_world(conn, source)
            scene = add_scene(conn, "later", date(2023, 6, 1), cells("xx", "x"))
            write_table(conn, noise("uint16", 4, 70, 90), owner_id=scene, nodata=0, table="drawn_later")
            runs.request_inference(conn, scene, add_model(conn, "other"))
            conn.execute(f"create role {VISITOR} login")
            conn.execute(f"grant usage on schema lode, lode_api to {VISITOR}")
            conn.execute(f"grant select on lode_api.damage_alert to {VISITOR}")
            conn.execute(f"grant update (state) on lode_api.damage_alert to {VISITOR} with grant option")
            conn.execute(f"grant execute on function lode_api.derive_all() to {VISITOR}")
            conn.execute(f"alter default privileges in schema lode_api grant select on tables to {VISITOR}")
            conn.commit()
        cluster.create_database(COPY)
        try:
            restore_copy(source, cluster.url(COPY))
            yield source, cluster.url(COPY)
        finally:
            cluster.drop_database(COPY)
            with connect(source, autocommit=True) as conn:
                conn.execute(f"drop owned by {VISITOR}")
                conn.execute(f"drop role {VISITOR}")


@pytest.fixture
def made(urls: tuple[str, str]) -> Iterator[Connection[Any]]:
    with connect(urls[0], autocommit=True) as conn:
        yield conn


@pytest.fixture
def copy(urls: tuple[str, str]) -> Iterator[Connection[Any]]:
    with connect(urls[1], autocommit=True) as conn:
        yield conn


@pytest.fixture
def changed(cluster: Cluster, urls: tuple[str, str]) -> Iterator[str]:
    """URL of a copy that a test may change."""
    with copied_database(cluster, COPY) as url:
        try:
            yield url
        finally:
            with connect(url, autocommit=True) as conn:
                conn.execute(f"drop owned by {VISITOR}")


TABLES = """
select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('lode', 'lode_raster', 'lode_queue') and c.relkind = 'r' order by 1, 2
"""


def contents(conn: Connection[Any]) -> dict[str, tuple[int, str]]:
    """Number of rows of each table, and the sum of all their letters."""
    found = {}
    for schema, table in conn.execute(TABLES).fetchall():
        row = conn.execute(
            SQL(
                "select count(*), md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {} t"
            ).format(Identifier(schema, table))
        ).fetchone()
        assert row is not None
        found[f"{schema}.{table}"] = (row[0], row[1])
    return found


def test_every_row_of_every_table_is_there(made: Connection[Any], copy: Connection[Any]) -> None:
    rows = contents(made)
    assert contents(copy) == rows
    for table in (
        "lode.landcover", "lode.mine_area", "lode.alert", "lode_raster.drawn_west",
        "lode_raster.o_2_drawn_west", "lode_queue.procrastinate_jobs",
    ):  # fmt: skip
        assert rows[table][0] > 0


def test_every_object_is_there_as_it_was(made: Connection[Any], copy: Connection[Any]) -> None:
    """But for parentheses, which PostgreSQL sets anew when it reads a constraint it has printed."""

    def plain(conn: Connection[Any]) -> list[str]:
        return [re.sub(r"[()]", "", line) for line in describe_catalogue(conn)]

    assert plain(copy) == plain(made)


LODE = "('lode', 'lode_api', 'lode_raster', 'lode_queue')"
KEPT = {
    "sequences go on where they were": "select schemaname, sequencename, last_value from pg_sequences"
    f" where schemaname in {LODE} order by 1, 2",
    "settings of functions, and whose rights they run with": "select p.oid::regprocedure::text, p.proconfig,"
    " p.prosecdef, p.proleakproof, p.provolatile, p.proowner::regrole::text from pg_proc p"
    f" join pg_namespace n on n.oid = p.pronamespace where n.nspname in {LODE} order by 1",
    "owners and grants of relations": "select c.oid::regclass::text, c.relowner::regrole::text,"
    " (select array_agg(a::text order by a::text) from unnest(coalesce(c.relacl,"
    " acldefault(case c.relkind when 'S' then 's'::\"char\" else 'r' end, c.relowner))) a) from pg_class c"
    f" join pg_namespace n on n.oid = c.relnamespace where n.nspname in {LODE} and c.relkind <> 'i'"
    " order by 1",
    "grants of columns": "select a.attrelid::regclass::text, a.attname, a.attacl::text from pg_attribute a"
    " where a.attacl is not null and a.attrelid > 16384 order by 1, 2",
    "grants of functions": "select p.oid::regprocedure::text,"
    " (select array_agg(a::text order by a::text) from unnest("
    " coalesce(p.proacl, acldefault('f', p.proowner))) a) from pg_proc p"
    f" join pg_namespace n on n.oid = p.pronamespace where n.nspname in {LODE} order by 1",
    "schemas": "select n.nspname, n.nspowner::regrole::text,"
    " (select array_agg(a::text order by a::text) from unnest(n.nspacl) a) from pg_namespace n"
    f" where n.nspname in {LODE} or n.nspname = 'public' order by 1",
    "default privileges": "select d.defaclrole::regrole::text, d.defaclnamespace::regnamespace::text,"
    " d.defaclobjtype, (select array_agg(a::text order by a::text) from unnest(d.defaclacl) a)"
    " from pg_default_acl d order by 1, 2, 3",
    "partitions": "select h.inhrelid::regclass::text, h.inhparent::regclass::text,"
    " pg_get_expr(c.relpartbound, c.oid) from pg_inherits h join pg_class c on c.oid = h.inhrelid order by 1",
    "triggers": "select t.tgrelid::regclass::text, t.tgname, t.tgenabled, pg_get_triggerdef(t.oid)"
    " from pg_trigger t where not t.tgisinternal order by 1, 2",
    "raster columns": "select r_table_schema, r_table_name, srid, scale_x, blocksize_x, num_bands,"
    " pixel_types, nodata_values, out_db, st_astext(extent) from raster_columns order by 1, 2",
    "storage of tiles": "select attrelid::regclass::text, attname, attstorage, attcompression"
    " from pg_attribute where atttypid = 'raster'::regtype order by 1, 2",
}


@pytest.mark.parametrize("query", KEPT.values(), ids=KEPT)
def test_it_is_kept(made: Connection[Any], copy: Connection[Any], query: str) -> None:
    rows = made.execute(query).fetchall()
    assert rows
    assert copy.execute(query).fetchall() == rows


def test_the_check_passes_once_styles_are_written(made: Connection[Any], changed: str) -> None:
    """Nothing else is amiss after a restore than the name of the database in QGIS's table."""
    with connect(changed) as conn:
        require_current(conn)
        before = [result for result in run_checks(conn) if result.faults]
    assert [result.title for result in before] == ["QGIS finds the layers' styles"]
    for arguments in (("db", "upgrade"), ("qgis", "styles"), ("db", "check")):
        done = lode_here(changed, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [result for result in run_checks(made) if result.faults] == []


def test_a_rebuild_of_the_api_keeps_the_grants(changed: str) -> None:
    asked = (
        "select has_table_privilege(%(role)s, 'lode_api.damage_alert', 'select'),"
        " has_column_privilege(%(role)s, 'lode_api.damage_alert', 'state', 'update with grant option'),"
        " has_function_privilege(%(role)s, 'lode_api.derive_all()', 'execute'),"
        " has_table_privilege(%(role)s, 'lode_api.evidence', 'select')"
    )
    with connect(changed) as conn:
        before = conn.execute(asked, {"role": VISITOR}).fetchone()
        assert before == (True, True, True, False)
        conn.rollback()
        upgrade(changed, rebuild=True)
        after = conn.execute(asked, {"role": VISITOR}).fetchone()
        assert after == (True, True, True, True), "the last by the default privileges, which were kept too"


def test_the_waiting_job_is_fetched_and_its_run_published(changed: str) -> None:
    """By the queue's own function, whose search path is fixed; tiles become a partition, areas follow."""
    with connect(changed) as conn:
        registered = conn.execute("select lode_queue.procrastinate_register_worker_v1()").fetchone()
        assert registered is not None
        worker = registered[0] if isinstance(registered[0], int) else int(str(registered[0]).strip("()"))
        job = conn.execute(
            "select task_name, args, status::text from lode_queue.procrastinate_fetch_job_v2(%s, %s)",
            (["inference"], worker),
        ).fetchone()
        assert job is not None
        task, args, status = job
        assert (task, status) == ("interpret_run", "doing")
        before = conn.execute("select count(*) from lode.landcover").fetchone()
        claim = runs.claim_run(conn, args["run_id"], device="drawn", versions={})
        runs.hold_for_publication(conn, claim)
        ground = ewkb(cells("xx", "x"))
        landcover.insert_landcover(conn, claim.run_id, 2023, [(6, ground, 0.9)])
        landcover.insert_observation(conn, claim.run_id, 2023, ground)
        write_table(
            conn, noise("uint8", 8, 70, 90), owner_id=claim.run_id, nodata=255, parent="probability",
            table=f"probability_{claim.run_id}",
        )  # fmt: skip
        runs.mark_published(conn, claim, figures={})
        runs.make_current(conn, claim.run_id)
        conn.commit()
        after = conn.execute("select count(*) from lode.landcover").fetchone()
        assert before is not None
        assert after == (before[0] + 1,)
        row = conn.execute(
            "select count(*) from lode_api.damage_by_mine_year where year = 2023 and mine_code = 'M1'"
        ).fetchone()
        assert row is not None
        assert row[0] > 0
        faults = [result for result in run_checks(conn) if result.faults and "QGIS" not in result.title]
        assert faults == []
