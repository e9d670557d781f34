"""A mine is given to a role, not to its name: who has the name later has nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.role_logins import add_login, list_logins, remove_login, stale_owners
from db.roles import role_faults
from db.upgrade import upgrade
from tests.catalogue_rows import add_mine
from tests.grids import cells
from tests.restored import restore_copy
from tests.role_logins import denied, login
from tests.support import throwaway_cluster

NAME = 'blue "hill"'
QUOTED = '"blue ""hill"""'


@pytest.fixture
def given(database_url: str) -> Iterator[str]:
    """URL of a database with two mines, the first of which a login owns."""
    with connect(database_url) as conn:
        for code in ("M1", "M2"):
            add_mine(conn, code, cells("x", "x"))
        add_login(conn, NAME, "owner", mines=["M1"])
        conn.commit()
    yield database_url
    with connect(database_url) as conn:
        conn.execute("delete from lode.mine_owner")
        for each in list_logins(conn):
            remove_login(conn, each.name)
        conn.commit()


def seen(url: str, name: str = NAME) -> list[str]:
    with login(url, name) as own:
        return [code for (code,) in own.execute("select mine_code from lode_api.own_mine order by 1")]


def drop_with_all_it_was_granted(conn: Connection[Any]) -> None:
    conn.execute(f"drop owned by {QUOTED}; drop role {QUOTED}")


def test_a_role_that_owns_a_mine_is_not_dropped(given: str) -> None:
    assert seen(given) == ["M1"]
    with connect(given, autocommit=True) as admin:
        with denied("2BP01"):
            admin.execute(f"drop role {QUOTED}")
        assert seen(given) == ["M1"]
        admin.execute("delete from lode.mine where code = 'M1'")
        admin.execute(f"drop role {QUOTED}")


def test_who_has_the_name_later_sees_nothing_of_it(given: str) -> None:
    with connect(given, autocommit=True) as admin:
        drop_with_all_it_was_granted(admin)
        (told,) = role_faults(admin)
        assert told.startswith(f"mines belong to logins that are no more: {NAME};")
        with pytest.raises(UsageError, match=r"mines of an earlier login .* `lode role remove"):
            add_login(admin, NAME, "owner", mines=["M2"])
        admin.execute(f"create role {QUOTED} login in role lode_mine_owner")
        assert seen(given) == []
        (told,) = role_faults(admin)
        assert f"under the names of roles that were not given them: {NAME};" in told
        assert [(each.name, each.mines) for each in list_logins(admin)] == [(NAME, ())]
        give = "insert into lode.mine_owner (role_name, mine_id) select %s, mine_id from lode.mine"
        with denied("55000"):  # what is given to the later one would give it the rest too
            admin.execute(f"{give} where code = 'M2'", (NAME,))
        admin.execute("delete from lode.mine_owner")
        admin.execute(f"{give} where code = 'M2'", (NAME,))
        assert seen(given) == ["M2"]
        assert role_faults(admin) == []


def test_it_is_no_matter_of_other_roles_and_their_names(given: str) -> None:
    with connect(given, autocommit=True) as admin:
        with denied("42704"):
            admin.execute("insert into lode.mine_owner (role_name, mine_id) values ('who comes', 2)")
        admin.execute(f"alter role {QUOTED} rename to earlier")
        try:
            admin.execute(f"create role {QUOTED} login in role lode_mine_owner, earlier")
            assert seen(given, "earlier") == []
            assert seen(given) == []  # a member of who was given it, under the name that it had
            assert stale_owners(admin) == {NAME: True}
            admin.execute("delete from lode.mine_owner")
            assert [fault for fault in role_faults(admin) if "own no mine may still ask" in fault]
        finally:
            admin.execute("delete from lode.mine_owner")
            admin.execute("drop owned by earlier; drop role earlier")


def test_removal_forgets_grants_too_and_leaves_roles_of_ours_theirs(given: str) -> None:
    with connect(given) as conn:
        add_login(conn, NAME, "owner", mines=["M2"])
        conn.execute("delete from lode.mine_owner where mine_id in (select min(mine_id) from lode.mine)")
        conn.execute(
            "insert into lode.mine_owner (role_name, mine_id) select 'lode_mine_owner', min(mine_id)"
            " from lode.mine"
        )
        conn.commit()
        assert seen(given) == ["M1", "M2"]
        conn.execute("delete from lode.mine_owner where role_name = 'lode_mine_owner'")
        conn.commit()
        assert seen(given) == ["M2"]
        remove_login(conn, NAME)
        conn.commit()
        assert role_faults(conn) == []
        row = conn.execute("select count(*) from lode.mine_owner").fetchone()
        assert row == (0,)


def test_an_upgrade_keeps_what_was_given(given: str) -> None:
    upgrade(given, rebuild=True)
    assert seen(given) == ["M1"]
    with connect(given) as conn:
        assert role_faults(conn) == []


def test_a_copy_on_another_server_has_the_same_owners(given: str, home: Path) -> None:
    """Where their roles were made first; where privileges were left out nobody sees a mine, which is told."""
    other = throwaway_cluster(home)
    other.ensure_running()
    try:
        with connect(other.url("postgres"), autocommit=True) as admin:
            admin.execute("create database template_of_lode")
        with connect(other.url("template_of_lode"), autocommit=True) as admin:
            admin.execute("create extension postgis")
            admin.execute("create extension postgis_raster")
        upgrade(other.url("template_of_lode"))  # makes the roles
        with connect(other.url("postgres"), autocommit=True) as admin:
            admin.execute(f"create role stranger; create role {QUOTED} login in role lode_mine_owner")
            admin.execute("create database copy")
        url = other.url("copy")
        restore_copy(given, url)
        assert seen(url) == ["M1"]
        with connect(url, autocommit=True) as admin:
            upgrade(url)
            assert role_faults(admin) == []
            admin.execute(f"revoke execute on function lode_api.own_mines() from {QUOTED}")
            assert seen(url) == []
            assert stale_owners(admin) == {NAME: True}
            assert any(f"own_mines() to {QUOTED}`" in fault for fault in role_faults(admin))
            admin.execute(f"grant execute on function lode_api.own_mines() to {QUOTED}")
            assert seen(url) == ["M1"]
    finally:
        other.stop()


def test_a_cluster_of_many_owners_is_as_quick(cluster: Cluster, given: str) -> None:
    """Grants of a function have room for thousands, those of a table have not."""
    with connect(given, autocommit=True) as admin, admin.transaction(force_rollback=True):
        admin.execute(
            "do $$ begin for i in 1..2000 loop execute format('create role many_%s', i); end loop; end $$"
        )
        done = admin.execute(
            "insert into lode.mine_owner (role_name, mine_id) select 'many_' || i, m.mine_id"
            " from generate_series(1, 2000) i, lode.mine m where m.code = 'M2'"
        )
        assert done.rowcount == 2000
        admin.execute(f"set local session authorization {QUOTED}")
        assert admin.execute("select mine_code from lode_api.own_mines()").fetchall() == [("M1",)]
