"""Functions look where they were told to, whatever their caller has put in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.clients.tiles import fetch, tile_at
from tests.conftest import copied_database
from tests.grids import cells
from tests.role_logins import denied, error_of, login

ROLES = ("lode_reader", "lode_analyst", "lode_worker", "lode_mine_owner")
DRAWING = "pd\ndp"


def test_every_function_fixes_its_search_path_and_ends_it_with_pg_temp(conn: Connection[Any]) -> None:
    """Or was bound when it was made, which is how a function in SQL can be merged into a query."""
    rows = conn.execute(
        "select p.oid::regprocedure::text, p.prosecdef, p.prosqlbody is not null,"
        " (select split_part(c.setting, '=', 2) from unnest(p.proconfig) as c(setting)"
        "  where c.setting like 'search\\_path=%')"
        " from pg_proc p where p.pronamespace::regnamespace::text in ('lode', 'lode_api', 'lode_queue')"
    ).fetchall()
    assert len(rows) > 130
    for name, is_definer, is_bound, path in rows:
        if is_bound:
            assert not is_definer, name
            continue
        assert path is not None, name
        schemas = [schema.strip(' "') for schema in path.split(",")]
        assert schemas[-1] == "pg_temp", name
        assert set(schemas) <= {"lode", "lode_api", "lode_queue", "public", "pg_catalog", "pg_temp"}, name
        assert "$user" not in path, name


def test_whoever_runs_a_function_owns_no_more_than_our_schemas(conn: Connection[Any]) -> None:
    rows = conn.execute(
        "select distinct r.rolname::text, r.rolsuper, r.rolcreaterole, r.rolcanlogin from pg_proc p"
        " join pg_roles r on r.oid = p.proowner"
        " where p.pronamespace::regnamespace::text in ('lode', 'lode_api', 'lode_queue')"
    ).fetchall()
    assert rows == [("lode_owner", False, False, False)]


def test_nobody_may_create_where_functions_look(conn: Connection[Any]) -> None:
    rows = conn.execute(
        "select r.rolname::text, n.nspname::text from pg_roles r, pg_namespace n"
        " where (n.nspname ~ '^lode' or n.nspname = 'public')"
        " and has_schema_privilege(r.oid, n.oid, 'create')"
        " and r.rolname = any(%s) order by 1, 2",
        ([*ROLES, "pg_monitor"],),
    ).fetchall()
    assert rows == []
    open_to_all = conn.execute(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace::regnamespace::text ~ '^lode'"
        " and (p.prosecdef or p.provolatile = 'v') and has_function_privilege('public', p.oid, 'execute')"
    ).fetchall()
    assert open_to_all == []


@pytest.fixture(scope="module")
def attacked(cluster: Cluster, template_database: str) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    """URL of a filled database, and its tiles before anybody was at it."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            add_mine(conn, "M1", cells(DRAWING, "pd"))
            scene = add_scene(conn, "one", date(2021, 6, 1), cells(DRAWING, "pd"))
            publish_drawing(conn, scene, add_model(conn, "net"), 2021, DRAWING)
            conn.execute("create schema hostile")
            conn.execute("create table public.loot (who text, what text)")
            conn.execute("grant insert on public.loot to public")
            conn.execute("grant usage, create on schema hostile to public")
            row = conn.execute("select current_database()").fetchone()
            assert row is not None
            conn.execute(f"grant temporary on database {row[0]} to public")
            conn.commit()
            tiles = _tiles(conn)
            conn.commit()
        assert all(tiles)
        yield url, tiles


def _tiles(conn: Connection[Any]) -> tuple[bytes, bytes]:
    tile = tile_at(13)
    return fetch(conn, "damage_tile", tile, 2021), fetch(conn, "landcover_tile", tile, 2021)


def _lay_traps(conn: Connection[Any], schema: str) -> None:
    """Tables, functions and operators named like what definer functions name, which tell who runs them."""
    tables = conn.execute(
        "select relname::text from pg_class where relnamespace::regnamespace::text in ('lode', 'lode_queue')"
        " and relkind = 'r'"
    ).fetchall()
    for (table,) in tables:
        conn.execute(
            f'create {"temporary " if schema == "pg_temp" else ""}table {schema}."{table}" (i integer)'
        )
    for name, arguments, result in (
        ("st_tileenvelope", "integer, integer, integer", "geometry"),
        ("st_asmvtgeom", "geometry, geometry, integer, integer, boolean", "geometry"),
        ("tile_ground", "integer, integer, integer", "geometry"),
        ("coalesce_max", "integer", "integer"),
        ("now", "", "timestamptz"),
        ("format", "text, text", "text"),
        ("jsonb_each", "jsonb", "jsonb"),
        ("pg_has_role", "name, oid, text", "boolean"),
        ("st_orderingequals", "geometry, geometry", "boolean"),
        ("same", "geometry, geometry", "boolean"),
        ("less", "integer, integer", "boolean"),
        ("equal", "text, text", "boolean"),
    ):
        conn.execute(
            f"create function {schema}.{name}({arguments}) returns {result} language plpgsql as"
            f" $$ begin insert into public.loot values (current_user, '{name}');"
            " raise exception 'trapped'; end $$"
        )
    for operator, function, kind in (
        ("&&", "same", "geometry"),
        ("<", "less", "integer"),
        ("=", "equal", "text"),
    ):
        conn.execute(
            f"create operator {schema}.{operator} (function = {schema}.{function},"
            f" leftarg = {kind}, rightarg = {kind})"
        )


def _assert_armed(conn: Connection[Any], trap: str) -> None:
    """What is not protected does fall into them: tables of pg_temp, and functions of a schema in front."""
    assert conn.execute("select count(*) from mine_damage where i is null").fetchone() == (0,)
    if trap != "pg_temp":  # where PostgreSQL looks for no function
        conn.execute("savepoint armed")
        with pytest.raises(psycopg.errors.RaiseException, match="trapped"):
            conn.execute("select now()")
        conn.execute("rollback to savepoint armed")


PATHS = ("pg_temp", "hostile")


@pytest.mark.parametrize("trap", PATHS)
@pytest.mark.parametrize("role", ROLES)
def test_traps_before_every_function_that_a_role_may_execute_have_no_effect(
    attacked: tuple[str, tuple[bytes, bytes]], role: str, trap: str
) -> None:
    url, tiles = attacked
    with login(url, role, autocommit=False) if role != "lode_mine_owner" else _member(url) as conn:
        conn.execute("set transaction read write")
        _lay_traps(conn, trap)
        conn.execute(f"set local search_path = {trap}, lode_api, lode, public, pg_catalog")
        _assert_armed(conn, trap)
        if role != "lode_mine_owner":
            conn.execute("savepoint tiles")
            assert _tiles(conn) == tiles
        calls = conn.execute(
            "select p.oid::regprocedure::text, p.proargtypes::regtype[]::text[]"
            " from pg_catalog.pg_proc p where p.pronamespace = any(array['lode_api', 'lode_queue']"
            " ::pg_catalog.regnamespace[]) and p.prosecdef and p.prorettype <> 'trigger'::pg_catalog.regtype"
            " and pg_catalog.has_function_privilege(p.oid, 'execute')"
        ).fetchall()
        assert calls
        for signature, types in calls:
            name = signature.split("(")[0]
            arguments = ", ".join(f"null::{kind}" for kind in types)
            conn.execute("savepoint called")
            said = error_of(conn, f"select * from {name}({arguments})")
            assert "trapped" not in said, (signature, said)
            conn.execute("rollback to savepoint called")
        conn.execute("set local search_path = public")
        assert conn.execute("select to_regclass('public.loot') is not null").fetchone() == (True,)
        conn.rollback()
    with connect(url) as conn:
        assert conn.execute("select * from public.loot").fetchall() == []
        assert _tiles(conn) == tiles


def _member(url: str) -> Connection[Any]:
    """A connection of the administrator as a mine owner, which is a group without a login."""
    conn = connect(url)
    conn.execute("set role lode_mine_owner")
    return conn


@pytest.mark.parametrize("trap", PATHS)
def test_triggers_that_a_role_sets_off_meet_no_trap(
    attacked: tuple[str, tuple[bytes, bytes]], trap: str
) -> None:
    """An analyst draws a label and a mine, a worker publishes: areas follow from the real tables."""
    url, _tiles_before = attacked
    with login(url, "lode_analyst", autocommit=False) as analyst:
        _lay_traps(analyst, trap)
        analyst.execute(f"set local search_path = {trap}, lode, lode_api, public, pg_catalog")
        _assert_armed(analyst, trap)
        analyst.execute("update lode.mine set name = 'renamed', boundary = public.st_multi(boundary)")
        analyst.execute("update lode.report_period set from_year = from_year")
        analyst.rollback()
    with connect(url) as conn:
        assert conn.execute("select * from public.loot").fetchall() == []


def test_a_trigger_on_ones_own_table_runs_none_of_ours_as_the_owner(
    attacked: tuple[str, tuple[bytes, bytes]],
) -> None:
    url, _before = attacked
    with login(url, "lode_analyst", autocommit=False) as analyst:
        analyst.execute("create temporary table own (alert_id integer)")
        names = [
            name
            for (name,) in analyst.execute(
                "select p.proname::text from pg_proc p where p.pronamespace = 'lode_api'::regnamespace"
                " and p.prorettype = 'trigger'::regtype"
            )
        ]
        assert len(names) > 15
        for name in names:
            analyst.execute("savepoint one")
            with denied("42501"):
                analyst.execute(
                    f"create trigger t after insert on own for each row execute function lode_api.{name}()"
                )
            analyst.execute("rollback to savepoint one")
        analyst.rollback()
