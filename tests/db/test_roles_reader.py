"""What the reader's role is denied, each with the SQLSTATE, also where it made its transaction writable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.role_logins import add_login, remove_login
from db.upgrade import upgrade
from tests.conftest import copied_database
from tests.role_logins import denied, login

NO_RIGHT = "42501"
READ_ONLY = "25006"

WRITES = (
    "insert into lode.mine (code, name, boundary) values ('X', 'x', null)",
    "update lode.mine set name = 'x'",
    "delete from lode.mine",
    "truncate lode.mine",
    "insert into lode.run (scene_id) values (1)",
    "update lode_api.damage_alert set state = 'confirmed'",
    "update lode_api.sample_task set note = 'x'",
    "select nextval('lode.mine_mine_id_seq')",
    "select setval('lode.mine_mine_id_seq', 1)",
    "create table public.t (i integer)",
    "create table lode.t (i integer)",
    "create table lode_raster.t (i integer)",
    "create temporary table t (i integer)",
    "create schema s",
    "create function public.f() returns integer language sql as 'select 1'",
    "create function pg_temp.f() returns integer language sql as 'select 1'",
    "create view public.v as select 1",
    "create extension dblink",
    "create extension file_fdw",
    "create role other",
    "alter role lode_reader superuser",
    "alter role lode_admin password 'x'",
    "grant lode_owner to lode_reader",
    "grant select on lode.run to lode_reader",
    "drop view lode_api.damage_by_year",
    "alter table lode.mine disable trigger all",
    "create trigger t before insert on lode.mine for each row execute function lode_api.mine_changed()",
    "comment on table lode.mine is 'x'",
    "alter database postgres set search_path = x",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_xact_lock_shared(1, 2)",
    "copy lode.mine from program 'true'",
    "copy lode.mine from '/etc/passwd'",
)

READS = (
    "copy (select 1) to program 'cat'",
    "copy (select 1) to '/tmp/lode_reader_was_here'",
    "select pg_read_file('/etc/passwd')",
    "select pg_read_binary_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select pg_stat_file('/etc/passwd')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/x')",
    "select * from pg_authid",
    "select * from pg_hba_file_rules",
    "select * from lode.model_weights",
    "select * from lode.model",
    "select * from lode.worker",
    "select * from lode.run",
    "select * from lode.quota",
    "select * from lode.mine_owner",
    "select * from lode.ingest_source",
    "select * from lode_queue.procrastinate_jobs",
    "select * from lode_queue.procrastinate_workers",
    "select lode_api.derive_all()",
    "select lode_api.request_mine('X', 2021)",
    "select lode_api.cancel_run(1)",
    "set role lode_owner",
    "set role lode_worker",
    "set role lode_admin",
    "set role pg_read_server_files",
    "set session authorization lode_admin",
    "set session_replication_role = replica",
    "alter system set archive_command = 'true'",
    "load 'postgis_raster-3'",
    "do language plpython3u $$ $$",
)

RASTER = "st_makeemptyraster(1, 1, 0, 0, 1, -1, 0, 0, 4326)"


@pytest.fixture(scope="module")
def served(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as url:
        upgrade(url)
        yield url


@pytest.fixture
def reader(served: str) -> Iterator[Connection[Any]]:
    """A reader that has put off what can be put off: the read-only default."""
    with login(served, "lode_reader") as conn:
        conn.execute("set default_transaction_read_only = off")
        yield conn


@pytest.mark.parametrize("statement", WRITES)
def test_it_changes_nothing(reader: Connection[Any], statement: str) -> None:
    with denied(NO_RIGHT):
        reader.execute(statement)


def test_it_begins_read_only(served: str) -> None:
    with login(served, "lode_reader") as reader:
        for statement in ("create table public.t (i integer)", "delete from lode.mine", "create role x"):
            with pytest.raises(psycopg.Error) as raised:
                reader.execute(statement)
            assert raised.value.sqlstate in (READ_ONLY, NO_RIGHT)
        assert reader.execute("show transaction_read_only").fetchone() == ("on",)
        with denied(READ_ONLY):
            reader.execute("create table public.t (i integer)")


@pytest.mark.parametrize("statement", READS)
def test_it_reads_nothing_it_should_not(reader: Connection[Any], statement: str) -> None:
    expected = "42704" if "plpython3u" in statement else NO_RIGHT  # there is no such language
    with denied(expected):
        reader.execute(statement)


def test_it_ends_nobody_elses_session(reader: Connection[Any], served: str) -> None:
    with connect(served) as admin:
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            with denied(NO_RIGHT):
                reader.execute(f"select {function}(%s)", (admin.info.backend_pid,))
        assert admin.execute("select 1").fetchone() == (1,)


def test_dblink_is_not_there_for_it_to_use(reader: Connection[Any]) -> None:
    with denied("42883"):
        reader.execute("select dblink_connect('dbname=postgres user=lode_admin')")


def test_rasters_outside_the_database_stay_closed(reader: Connection[Any], served: str) -> None:
    """Neither as the server is set, nor after a reader's own SET, nor for a raster that names a file."""
    with connect(served) as admin:
        said = [
            admin.execute(f"show {name}").fetchone()
            for name in ("postgis.enable_outdb_rasters", "postgis.gdal_enabled_drivers")
        ]
    assert said in ([("off",), ("DISABLE_ALL",)], [("off",), ("",)]), said
    add = f"st_addband({RASTER}, 1, '/etc/passwd'::text, array[1])"
    with pytest.raises(psycopg.Error) as raised:
        reader.execute(f"select st_summary({add})")
    assert raised.value.sqlstate in ("XX000", "22023", NO_RIGHT)
    read = "select st_value(st_addband({}, '{}'::text, array[1]), 1, 1, 1)"
    for setting, value in (
        ("postgis.enable_outdb_rasters", "on"),
        ("postgis.gdal_enabled_drivers", "ENABLE_ALL"),
    ):
        reader.execute("select st_summary(null::raster)")  # the library, and with it its settings, is loaded
        with denied(NO_RIGHT):
            reader.execute(f"set {setting} = '{value}'")
    with pytest.raises(psycopg.Error):
        reader.execute(read.format(RASTER, "/etc/passwd"))
    with pytest.raises(psycopg.Error):
        reader.execute("select st_fromgdalraster('\\x00')")


def test_a_statement_that_never_ends_is_ended(served: str) -> None:
    with login(served, "lode_reader") as reader:
        assert reader.execute("show statement_timeout").fetchone() == ("10s",)
        reader.execute("set statement_timeout = '200ms'")
        for statement in (
            "select pg_sleep(20)",
            "select count(*) from generate_series(1, 2000000000)",
            "with recursive r(i) as (select 1 union all select i % 7 from r) select count(*) from r",
        ):
            with denied("57014"):
                reader.execute(statement)


def test_a_transaction_left_open_is_ended(served: str) -> None:
    """The setting of the role, shortened for a login of the test's own."""
    with connect(served) as admin:
        add_login(admin, "forgetful", "reader")
        admin.execute("alter role forgetful set idle_in_transaction_session_timeout = '300ms'")
        admin.commit()
    try:
        with login(served, "lode_reader") as reader:
            row = reader.execute("show idle_in_transaction_session_timeout").fetchone()
            assert row == ("1min",)
        forgetful = login(served, "forgetful", autocommit=False)
        forgetful.execute("select 1")
        with connect(served, autocommit=True) as admin:
            for _ in range(100):
                row = admin.execute(
                    "select count(*), pg_sleep(0.05) from pg_stat_activity where usename = 'forgetful'"
                ).fetchone()
                assert row is not None
                if row[0] == 0:
                    break
        with denied("25P03"):
            forgetful.execute("select 1")
        forgetful.close()
    finally:
        with connect(served) as admin:
            remove_login(admin, "forgetful")
            admin.commit()


def test_twenty_sessions_at_a_time(served: str) -> None:
    sessions: list[Connection[Any]] = []
    try:
        sessions.extend(login(served, "lode_reader") for _ in range(20))
        with pytest.raises(Exception, match="too many connections for role"):
            sessions.append(login(served, "lode_reader"))
    finally:
        for session in sessions:
            session.close()
