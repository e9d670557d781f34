"""`lode role ...`: logins with the settings of their role, and owners of mines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from db.connection import connect
from db.errors import UsageError
from db.role_commands import role_group
from db.role_logins import KINDS, add_login, check_name, list_logins, remove_login
from db.roles import ROLES
from tests.catalogue_rows import add_mine
from tests.grids import cells
from tests.role_logins import denied, login

NAME = '李; drop table "mine" --\''


@pytest.fixture
def cleared(database_url: str) -> Iterator[str]:
    """URL of a database with two mines; logins that the test added are gone afterwards."""
    with connect(database_url) as conn:
        for code in ("M1", "M2"):
            add_mine(conn, code, cells("x", "x"))
        conn.commit()
    yield database_url
    with connect(database_url) as conn:
        for each in list_logins(conn):
            remove_login(conn, each.name)
        conn.commit()


def run(url: str, *arguments: str, typed: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(
        role_group, arguments, input=typed, env={"LODE_DATABASE_URL": url}, catch_exceptions=True
    )
    return done.exit_code, f"{done.output}{done.exception or ''}"


@pytest.mark.parametrize("kind", ["reader", "analyst", "worker"])
def test_a_login_has_the_rights_and_bounds_of_its_role(cleared: str, kind: str) -> None:
    assert run(cleared, "add", NAME, "--as", kind)[0] == 0
    assert run(cleared, "list") == (0, f"{NAME}  {kind}\n")
    with login(cleared, NAME) as own:
        own.execute("select * from lode_api.damage_by_year")
        bounds = own.execute(
            "select current_setting('default_transaction_read_only'), current_setting('statement_timeout')"
        ).fetchone()
        assert bounds == (("on", "10s") if kind == "reader" else ("off", "0"))
        with denied("42501"):
            own.execute("select * from lode.mine_owner" if kind != "worker" else "delete from lode.mine")
    assert run(cleared, "remove", NAME) == (0, f"login {NAME} was removed\n")
    assert run(cleared, "list")[1].startswith("no login was added")


def test_an_owner_gets_mines_one_after_the_other(cleared: str) -> None:
    assert run(cleared, "add", NAME, "--as", "owner", "--mine", "M1")[0] == 0
    assert run(cleared, "add", NAME, "--as", "owner", "--mine", "M2", "--mine", "M1")[0] == 0
    assert run(cleared, "list") == (0, f"{NAME}  owner  M1, M2\n")
    with login(cleared, NAME) as own:
        codes = own.execute("select mine_code from lode_api.own_mine order by 1").fetchall()
        assert codes == [("M1",), ("M2",)]
        assert own.execute("show default_transaction_read_only").fetchone() == ("on",)
    assert run(cleared, "remove", NAME)[0] == 0
    with connect(cleared) as conn:
        assert conn.execute("select count(*) from lode.mine_owner").fetchone() == (0,)


def test_a_password_is_asked_for_and_never_shown(cleared: str) -> None:
    secret = "-".join(("told", "to", "nobody"))
    code, said = run(cleared, "add", "anna", "--as", "reader", "--password", typed=f"{secret}\n{secret}\n")
    assert code == 0, said
    assert secret not in said
    with connect(cleared) as conn:
        row = conn.execute("select rolpassword from pg_authid where rolname = 'anna'").fetchone()
        assert row is not None
        assert row[0].startswith("SCRAM-SHA-256$")
        assert secret not in row[0]
    assert run(cleared, "add", "berta", "--as", "reader", secret)[0] == 2  # no argument takes it


def test_what_cannot_be_is_refused_and_leaves_nothing(cleared: str) -> None:
    with connect(cleared) as conn:
        for name in (*(role.name for role in ROLES), "LODE_OWNER", "postgres", "pg_monitor", "", "x" * 64):
            with pytest.raises(UsageError):
                check_name(name)
        with pytest.raises(UsageError, match="no mine M9"), conn.transaction():
            add_login(conn, "anna", "owner", mines=["M1", "M9"])
        with pytest.raises(UsageError, match="--mine CODE"), conn.transaction():
            add_login(conn, "anna", "owner")
        with pytest.raises(UsageError, match="for an owner alone"), conn.transaction():
            add_login(conn, "anna", "reader", mines=["M1"])
        assert list_logins(conn) == []
        add_login(conn, "anna", "reader")
        with pytest.raises(UsageError, match="there already"), conn.transaction():
            add_login(conn, "anna", "analyst")
        with pytest.raises(UsageError, match="no login nobody"):
            remove_login(conn, "nobody")
        conn.execute("create role stranger")
        with pytest.raises(UsageError, match="left alone"):
            remove_login(conn, "stranger")
        with pytest.raises(UsageError, match="made by other means"), conn.transaction():
            add_login(conn, "stranger", "reader")
        conn.rollback()


def test_who_may_make_no_roles_is_told(cleared: str) -> None:
    with (
        login(cleared, "lode_worker", autocommit=False) as worker,
        pytest.raises(UsageError, match="may not make roles"),
    ):
        add_login(worker, "anna", "reader")


def test_every_kind_has_its_role() -> None:
    assert set(KINDS.values()) <= {role.name for role in ROLES}
