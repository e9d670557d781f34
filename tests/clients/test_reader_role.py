"""The role of docs/clients.md that only reads, as `lode db upgrade` makes it: tried as map servers use it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection, errors
from psycopg.conninfo import make_conninfo

from db.api import api_files
from db.connection import connect
from db.embedded import Cluster
from db.role_grants import OWN_FUNCTIONS
from db.upgrade import upgrade
from tests.clients.tiles import MARTIN_FUNCTIONS, fetch, tile_at
from tests.clients.world import fill_world
from tests.conftest import copied_database
from tests.support import REPOSITORY

ROLE = "lode_reader"
VIEWS = [file.name for file in api_files() if file.kind == "view"]
TABLES = {"mine", "mine_damage", "damage_patch", "damage_change"}
TILES = ["damage_tile", "damage_tile_query", "landcover_tile", "landcover_tile_query"]

# As pg_tileserv asks for tables and functions, shortened to what decides.
TABLE_LAYERS = """
select n.nspname || '.' || c.relname
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid
join pg_type t on t.oid = a.atttypid
where c.relkind in ('r', 'v', 'm', 'p', 'f') and t.typname = 'geometry' and a.attnum > 0
  and has_table_privilege(c.oid, 'select') and has_schema_privilege(n.oid, 'usage')
  and postgis_typmod_srid(a.atttypmod) > 0
"""
FUNCTION_LAYERS = """
select p.proname::text
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where array[p.proargtypes[0], p.proargtypes[1], p.proargtypes[2]] = array[23, 23, 23]::oid[]
  and p.proargnames[1:3] = array['z', 'x', 'y']
  and p.prorettype = 17 and has_function_privilege(p.oid, 'execute')
  and has_schema_privilege(n.oid, 'usage') and n.nspname = 'lode_api'
order by 1
"""


def as_reader(url: str) -> Connection[Any]:
    return psycopg.connect(make_conninfo(url, user=ROLE), autocommit=True)


@pytest.fixture(scope="module")
def served(cluster: Cluster, template_database: str) -> Iterator[str]:
    """URL of a filled database."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            fill_world(conn, url)
            conn.commit()
        yield url


@pytest.fixture
def reader(served: str) -> Iterator[Connection[Any]]:
    with as_reader(served) as conn:
        yield conn


@pytest.mark.parametrize("view", VIEWS)
def test_it_reads_every_view(served: str, reader: Connection[Any], view: str) -> None:
    with connect(served) as owner:
        expected = owner.execute(f"select * from lode_api.{view} order by 1").fetchall()
    assert reader.execute(f"select * from lode_api.{view} order by 1").fetchall() == expected


def test_it_draws_the_tiles_that_the_owner_draws(served: str, reader: Connection[Any]) -> None:
    with connect(served) as owner:
        for function in ("landcover_tile", "damage_tile"):
            for z in (0, 8, 13):
                drawn = fetch(reader, function, tile_at(z), 2022)
                assert drawn
                assert drawn == fetch(owner, function, tile_at(z), 2022)
            row = reader.execute(
                f"select lode_api.{function}_query(%s, %s, %s, '{{\"year\": 2022}}')", tile_at(13)
            ).fetchone()
            assert row == (fetch(owner, function, tile_at(13), 2022),)


def test_it_reads_layers_and_pixels(reader: Connection[Any]) -> None:
    for table in TABLES:
        column = "boundary" if table == "mine" else "geom"
        row = reader.execute(f"select count(*), count({column}) from lode.{table}").fetchone()
        assert row is not None
        assert row[0] == row[1] > 0
    scene = reader.execute("select tile_table from lode_api.scene_catalogue order by 1").fetchone()
    assert scene is not None
    assert reader.execute(f"select count(st_width(rast)) > 0 from lode_raster.{scene[0]}").fetchone() == (
        True,
    )


def test_map_servers_find_what_it_may_read(reader: Connection[Any]) -> None:
    functions = [name for (name,) in reader.execute(FUNCTION_LAYERS)]
    assert functions == TILES
    found = [name for name, _comment in reader.execute(MARTIN_FUNCTIONS)]
    assert found == ["damage_tile_query", "landcover_tile_query"]
    layers = {name for (name,) in reader.execute(TABLE_LAYERS)}
    assert {name for name in layers if name.startswith("lode.")} == {f"lode.{table}" for table in TABLES}
    assert "lode_api.landcover_map" in layers


@pytest.mark.parametrize("is_read_only", ["on", "off"])
def test_it_writes_nothing(served: str, reader: Connection[Any], is_read_only: str) -> None:
    """Read-only by default; who switches that off meets the grants."""
    reader.execute(f"set default_transaction_read_only = {is_read_only}")
    refused = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)
    no_target = errors.ObjectNotInPrerequisiteState  # a view that nobody can write to
    rows = reader.execute(
        "select format('%I.%I', n.nspname, c.relname), c.relkind in ('r', 'p') from pg_class c"
        " join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname in ('lode', 'lode_api', 'lode_raster') and c.relkind in ('r', 'p', 'v') order by 1"
    ).fetchall()
    assert len(rows) > 40
    for relation, is_table in rows:
        for statement in (f"insert into {relation} default values", f"delete from {relation}"):
            with pytest.raises(refused if is_table else (*refused, no_target)):
                reader.execute(statement)
        if is_table:
            with pytest.raises(refused):
                reader.execute(f"truncate {relation}")
    for statement in (
        "update lode_api.damage_alert set state = 'confirmed'",
        "update lode.mine set name = 'mine'",
        "create table public.mine (mine_id integer)",
        "create table lode_api.mine (mine_id integer)",
        "create schema mine",
    ):
        with pytest.raises(refused):
            reader.execute(statement)


def test_it_reads_nothing_else(reader: Connection[Any]) -> None:
    tables = [
        name
        for (name,) in reader.execute(
            "select relname from pg_class where relnamespace = to_regnamespace('lode')"
            " and relkind in ('r', 'p')"
        )
    ]
    assert {"run", "scene", "model", "label", "landcover", "sample_answer"} <= set(tables)
    for table in sorted(set(tables) - TABLES):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(f"select * from lode.{table}")
    with pytest.raises(errors.InsufficientPrivilege):
        reader.execute("select run_id, land_class_code from lode.landcover")


def test_it_executes_nothing_that_changes_something(reader: Connection[Any]) -> None:
    rows = reader.execute(
        "select p.oid::regprocedure::text, p.proname::text from pg_proc p"
        " where p.pronamespace = to_regnamespace('lode_api') and (p.provolatile = 'v' or p.prosecdef)"
        " and has_function_privilege(p.oid, 'execute') order by 2"
    ).fetchall()
    assert [name for _signature, name in rows] == sorted(["damage_tile", "landcover_tile", *OWN_FUNCTIONS])
    for call in (
        "derive_all()",
        "derive_general('{1}')",
        "derive_mines('{1}', '{2022}')",
        "derive_accounts('{1}', '{2022}')",
    ):
        with pytest.raises(errors.InsufficientPrivilege, match=r"permission denied for function derive_"):
            reader.execute(f"select lode_api.{call}")


def test_it_is_held_in_bounds(reader: Connection[Any]) -> None:
    row = reader.execute(
        "select rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolconnlimit from pg_roles"
        " where rolname = current_user"
    ).fetchone()
    assert row == (True, False, False, False, False, 20)
    assert reader.execute("show statement_timeout").fetchone() == ("10s",)
    assert reader.execute("show default_transaction_read_only").fetchone() == ("on",)
    reader.execute("set statement_timeout = '50ms'")
    with pytest.raises(errors.QueryCanceled):
        reader.execute("select pg_sleep(5)")


def test_an_upgrade_keeps_what_it_may(served: str) -> None:
    upgrade(served, rebuild=True)
    with connect(served) as owner:
        owner.execute("set role lode_owner")  # as whom upgrades make views
        owner.execute("create view lode_api.of_a_later_version as select 1 as ogc_fid")
        owner.commit()
    with as_reader(served) as reader:
        for view in VIEWS:
            reader.execute(f"select * from lode_api.{view}")
        assert reader.execute("select * from lode_api.of_a_later_version").fetchone() == (1,)
        assert [name for (name,) in reader.execute(FUNCTION_LAYERS)] == TILES
        assert fetch(reader, "landcover_tile", tile_at(13), 2022)
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute("select lode_api.derive_all()")


def test_an_upgrade_keeps_grants_of_every_kind(database_url: str) -> None:
    """On views, single columns and functions, with the right to grant; and nothing that was not granted."""
    asked = (
        "select has_table_privilege('lode_inspector', 'lode_api.damage_alert', 'select with grant option'),"
        " has_column_privilege('lode_inspector', 'lode_api.damage_alert', 'state', 'update'),"
        " has_column_privilege('lode_inspector', 'lode_api.damage_alert', 'note', 'update'),"
        " has_table_privilege('public', 'lode_api.scene_catalogue', 'select'),"
        " has_function_privilege('lode_inspector', 'lode_api.derive_all()', 'execute'),"
        " has_function_privilege('lode_inspector', 'lode_api.derive_base()', 'execute'),"
        " has_table_privilege('lode_inspector', 'lode_api.evidence', 'select')"
    )
    with connect(database_url) as owner:
        owner.execute("create role lode_inspector")
        owner.execute("grant select on lode_api.damage_alert to lode_inspector with grant option")
        owner.execute("grant update (state) on lode_api.damage_alert to lode_inspector")
        owner.execute("grant select on lode_api.scene_catalogue to public")
        owner.execute("grant execute on function lode_api.derive_all() to lode_inspector")
        owner.commit()
        before = owner.execute(asked).fetchone()
    assert before == (True, True, False, True, True, False, False)
    try:
        upgrade(database_url, rebuild=True)
        with connect(database_url) as owner:
            assert owner.execute(asked).fetchone() == before
    finally:
        with connect(database_url) as owner:
            owner.execute("drop owned by lode_inspector")
            owner.execute("drop role lode_inspector")
            owner.commit()


def test_the_document_gives_no_server_the_owners_role() -> None:
    text = (REPOSITORY / "docs" / "clients.md").read_text("utf-8")
    assert re.findall(r"lode_admin@|user=lode_admin", text) == []
    assert len(re.findall(r"lode_reader@|user=lode_reader", text)) >= 5
