"""Roles, owners and grants: made once for a server, by whoever may, and mended by every upgrade."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.role_grants import GRANTS
from db.role_rights import missing_grants, open_objects
from db.roles import ROLES, foreign_objects, role_faults
from db.upgrade import upgrade
from tests.catalogue_rows import add_mine
from tests.db.ingested_scenes import ingest
from tests.grids import cells
from tests.ingest_files import some_pixels, write_tiff
from tests.role_logins import denied, login, url_of
from tests.support import REPOSITORY, lode_here, reaped_home, throwaway_cluster

NAMES = [role.name for role in ROLES]
OWNERS = (
    "select n.nspname || ' ' || pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname ~ '^lode'"
    " union select n.nspname || '.* ' || pg_get_userbyid(c.relowner) from pg_class c"
    " join pg_namespace n on n.oid = c.relnamespace where n.nspname ~ '^lode'"
    " union select n.nspname || '() ' || pg_get_userbyid(p.proowner) from pg_proc p"
    " join pg_namespace n on n.oid = p.pronamespace where n.nspname ~ '^lode' order by 1"
)


@contextmanager
def server() -> Iterator[Cluster]:
    """A server of its own, where nobody has made a role yet."""
    with reaped_home() as home:
        made = throwaway_cluster(home)
        made.ensure_running()
        yield made
        made.stop()


def new_database(cluster: Cluster, name: str) -> str:
    cluster.create_database(name)
    with connect(cluster.url(name), autocommit=True) as conn:
        conn.execute("create extension postgis")
        conn.execute("create extension postgis_raster")
    return cluster.url(name)


def owners(url: str) -> list[str]:
    with connect(url) as conn:
        return [line for (line,) in conn.execute(OWNERS)]


OURS = [
    "lode lode_owner",
    "lode.* lode_owner",
    "lode_api lode_owner",
    "lode_api() lode_owner",
    "lode_api.* lode_owner",
    "lode_queue lode_owner",
    "lode_queue() lode_owner",
    "lode_queue.* lode_owner",
    "lode_raster lode_owner",
    "lode_raster.* lode_owner",
]


def test_an_upgrade_leaves_nothing_to_complain_of(database_url: str) -> None:
    upgrade(database_url)
    assert owners(database_url) == OURS
    with connect(database_url) as conn:
        assert role_faults(conn) == []
        with conn.cursor() as cursor:
            assert missing_grants(cursor, everything=True) == []
            assert open_objects(cursor, everything=True) == []
        row = conn.execute("select count(*) from pg_roles where rolname = any(%s)", (NAMES,)).fetchone()
        assert row == (len(ROLES),)


def test_nothing_is_left_to_everybody(database_url: str) -> None:
    upgrade(database_url)
    with connect(database_url) as conn:
        for question in (
            "select has_schema_privilege('public', 'public', 'create')",
            "select has_database_privilege('public', current_database(), 'temporary')",
            "select has_database_privilege('public', current_database(), 'create')",
            "select bool_or(has_schema_privilege('public', oid, 'usage')) from pg_namespace"
            " where nspname ~ '^lode'",
            "select bool_or(has_table_privilege('public', c.oid, 'select, insert, update, delete, truncate'))"
            " from pg_class c where c.relnamespace::regnamespace::text ~ '^lode'"
            " and c.relkind in ('r', 'p', 'v')",
        ):
            assert conn.execute(question).fetchone() == (False,), question
        left = conn.execute(
            "select p.proname::text from pg_proc p where p.pronamespace::regnamespace::text ~ '^lode'"
            " and has_function_privilege('public', p.oid, 'execute') order by 1"
        ).fetchall()
        # What views call in their reader's name; with their schema closed, only who may use it gets there.
        assert left == [("alert_level_rank",), ("has_risen",)]


def test_every_grant_names_what_is_there(conn: Connection[Any]) -> None:
    for grant in GRANTS:
        for name in grant.names or ():
            if grant.kind == "table":
                row = conn.execute("select to_regclass(%s)::text", (f"{grant.schema}.{name}",)).fetchone()
                assert row is not None
                assert row[0], grant
                for column in grant.columns:
                    conn.execute(f"select {column} from {grant.schema}.{name} limit 0")
            elif grant.kind == "function":
                row = conn.execute(
                    "select count(*) from pg_proc where proname = %s and pronamespace = %s::regnamespace",
                    (name, grant.schema),
                ).fetchone()
                assert row == (1,), (grant.role, name)


def test_upgrades_of_many_databases_at_once_make_the_roles_once() -> None:
    with server() as cluster:
        new_database(cluster, "one")
        for name in ("two", "three"):
            cluster.create_database(name, template="one")
        urls = [cluster.url(name) for name in ("one", "two", "three")]
        running = [  # processes, because Alembic keeps its context in globals
            subprocess.Popen(
                [sys.executable, "-c", "import lode; lode.main()", "db", "upgrade"],
                env={**os.environ, "LODE_DATABASE_URL": url, "OMP_NUM_THREADS": "1"},
                cwd=REPOSITORY,
            )
            for url in urls
        ]
        assert [process.wait(250) for process in running] == [0, 0, 0]
        for url in urls:
            assert owners(url) == OURS
            with connect(url) as conn:
                assert role_faults(conn) == []


def test_what_an_older_upgrade_left_is_handed_over(tmp_path: Path) -> None:
    """Upgraded by a role that may make no role, then, with a scene in it, by the superuser."""
    with server() as cluster:
        url = new_database(cluster, "older")
        with connect(url, autocommit=True) as admin:
            admin.execute("create role plain login")
            admin.execute("grant create on database older to plain")
            admin.execute("alter database older owner to plain")
        said: list[str] = []
        upgrade(url_of(url, "plain"), said.append)
        assert (
            "the roles lode_worker, lode_owner, lode_reader, lode_analyst, lode_mine_owner are missing"
            in said[0]
        )
        assert {line.split()[1] for line in owners(url)} == {"plain"}
        with login(url, "plain", autocommit=False) as plain:
            add_mine(plain, "M1", cells("xx", "x"))
            ingest(plain, write_tiff(tmp_path / "a.tif", some_pixels()), "first")
            plain.commit()
            faults = role_faults(plain)
            assert faults[0].startswith("the roles lode_worker")
            plain.execute("create view lode_api.mine_list as select code from lode.mine")
            plain.commit()
        said.clear()
        upgrade(url_of(url, "plain"), said.append)
        assert said[-1] == "the database is up to date"

        upgrade(url, said.append)
        with connect(url) as admin, admin.cursor() as cursor:
            assert foreign_objects(cursor, tiles=False, everything=True) == []
            assert foreign_objects(cursor, tiles=True, everything=True) == []
            row = admin.execute(
                "select relowner::regrole::text from pg_class where relname = 'mine_list'"
            ).fetchone()
            assert row == ("plain",)  # somebody's own view keeps its owner, and so its owner's rights
            assert role_faults(admin) == []
        with login(url, "lode_worker", autocommit=False) as worker:
            ingest(worker, write_tiff(tmp_path / "b.tif", some_pixels(seed=2)), "second")
            worker.commit()
        with login(url, "lode_reader") as reader:
            assert reader.execute("select count(*) from lode_raster.scene_tile").fetchone() == (2,)


def test_a_login_that_may_make_roles_upgrades_without_being_a_superuser() -> None:
    with server() as cluster:
        url = new_database(cluster, "hosted")
        with connect(url, autocommit=True) as admin:
            admin.execute("create role operator login createrole")
            admin.execute("alter database hosted owner to operator")
        upgrade(url_of(url, "operator"))
        assert owners(url) == OURS
        upgrade(url_of(url, "operator"), rebuild=True)
        with login(url, "operator") as operator:
            (told,) = role_faults(operator)  # what a superuser alone may close
            assert told.startswith("everybody may call what tells of other mines' ground")
        done = (
            lode_here(url_of(url, "operator"), "role", "add", "anna", "--as", "analyst")
            if _has_command()
            else None
        )
        assert done is None or done.returncode == 0, done.stderr
        with login(url, "lode_reader") as reader, denied("42501"):
            reader.execute("select * from lode.run")


def _has_command() -> bool:
    import lode

    return "role" in lode.SUBCOMMANDS


def test_what_somebody_changed_is_told_and_mended(database_url: str) -> None:
    with connect(database_url) as conn:
        conn.execute("revoke select on lode.mine from lode_reader")
        conn.execute("alter table lode.fault owner to lode_admin")
        conn.execute("grant execute on function lode_api.damage_tile to public")
        conn.execute("alter function lode_api.damage_tile owner to lode_admin")
        conn.execute("alter function geometry_overlaps(geometry, geometry) not leakproof")
        mine = add_mine(conn, "M1", cells("x", "x"))
        conn.execute("create role gone")
        conn.execute("insert into lode.mine_owner (role_name, mine_id) values ('gone', %s)", (mine,))
        conn.execute("drop owned by gone; drop role gone")
        conn.commit()
        told = role_faults(conn)
        assert len(told) == 6, told
        for fault, said in zip(
            told,
            (
                "2 objects belong to other roles than they should: table lode.fault, function lode_api.d",
                "1 functions run with a superuser's rights: lode_api.damage_tile",
                "1 grants are missing: select on lode.mine for lode_reader",
                "everybody has what nobody should: execute on function lode_api.damage_tile",
                "mines belong to logins that are no more: gone",
                "without the spatial index",
            ),
            strict=True,
        ):
            assert said in fault
        conn.execute("delete from lode.mine_owner")
        conn.commit()
    upgrade(database_url)
    with connect(database_url) as conn:
        assert role_faults(conn) == []


def test_a_role_with_too_much_power_is_told(conn: Connection[Any]) -> None:
    conn.execute("alter role lode_worker createrole")
    conn.execute("alter role lode_owner login")
    conn.execute("grant pg_read_server_files to lode_reader")
    conn.execute("alter role lode_reader reset statement_timeout")
    conn.execute("alter role lode_reader set default_transaction_read_only = off")  # as it may itself
    conn.execute("alter role lode_reader set idle_in_transaction_session_timeout = '0ms'")
    told = role_faults(conn)
    conn.rollback()
    assert told == [
        "the role lode_worker may make roles",
        "the role lode_owner can log in",
        *[f"the role {name} is a member of pg_read_server_files" for name in ("lode_analyst", "lode_reader")],
        "the role lode_reader has no default_transaction_read_only, statement_timeout,"
        " idle_in_transaction_session_timeout: `alter role lode_reader set ...` (docs/roles.md)",
    ]
