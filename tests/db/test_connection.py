"""Connecting to a real server, and what is said when it does not work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import errors

from db.connection import connect, database_url, retrying
from db.embedded import Cluster
from db.errors import RetryError, UsageError
from db.settings import Settings


def as_role(url: str, role: str) -> str:
    return re.sub(r"//[^@]*@", f"//{role}@", url)


@pytest.fixture
def guarded_url(cluster: Cluster) -> Iterator[str]:
    """URL of a role that has to show a password, which is s3cret."""
    rules = cluster.layout.data / "pg_hba.conf"
    before = rules.read_text()
    cluster.layout.account.write(rules, "local all guarded scram-sha-256\n" + before)
    with connect(cluster.url("postgres"), autocommit=True) as conn:
        conn.execute("create role guarded login password 's3cret'")
        conn.execute("select pg_reload_conf()")
        try:
            yield as_role(cluster.url("postgres"), "guarded:s3cret")
        finally:
            cluster.layout.account.write(rules, before)
            conn.execute("select pg_reload_conf()")
            conn.execute("drop role guarded")


def test_connection_by_url(postgis_url: str):
    with connect(postgis_url, application_name="lode test") as conn:
        assert conn.execute("show application_name").fetchone() == ("lode test",)
        assert conn.autocommit is False
        for name, value in {"keepalives_idle": "30", "tcp_user_timeout": "60000"}.items():
            assert conn.info.get_parameters()[name] == value


def test_connection_by_settings(cluster: Cluster, postgis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LODE_DATABASE_URL", postgis_url)
    with connect(Settings(), autocommit=True) as conn:
        assert conn.autocommit is True
    monkeypatch.delenv("LODE_DATABASE_URL")
    monkeypatch.setenv("LODE_HOME", str(cluster.home))
    monkeypatch.setenv("LODE_DATABASE", "postgres")
    assert database_url(Settings()) == cluster.url("postgres")


def test_what_the_url_says_goes_before_what_we_would_say(postgis_url: str):
    with connect(postgis_url + "&application_name=mine&keepalives_idle=7") as conn:
        assert conn.execute("show application_name").fetchone() == ("mine",)
        assert conn.info.get_parameters()["keepalives_idle"] == "7"


def test_password(guarded_url: str):
    with connect(guarded_url) as conn:
        assert conn.execute("select current_user").fetchone() == ("guarded",)


def test_wrong_password(guarded_url: str):
    with pytest.raises(UsageError, match="refused the login") as caught:
        connect(guarded_url.replace("s3cret", "s3creT"))
    assert "s3cre" not in str(caught.value)
    assert not isinstance(caught.value, RetryError)


def test_no_password(guarded_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    with pytest.raises(UsageError, match=r"no password supplied.*LODE_DATABASE_URL"):
        connect(guarded_url.replace(":s3cret", ""))


def test_unknown_database(cluster: Cluster):
    with pytest.raises(UsageError, match=r"no such database.*lode up"):
        connect(cluster.url("nowhere"))


def test_unknown_role(cluster: Cluster):
    with pytest.raises(UsageError, match='role "stranger" does not exist'):
        connect(as_role(cluster.url("postgres"), "stranger"))


def test_private_cluster_that_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LODE_DATABASE_URL", raising=False)
    monkeypatch.setenv("LODE_HOME", str(tmp_path / "home"))
    with pytest.raises(RetryError, match=r"no database server answers.*run `lode up`"):
        connect(Settings())


def test_server_that_does_not_answer():
    with pytest.raises(
        RetryError, match=r"no database server answers at .*port=1: see that the server runs"
    ) as caught:
        connect("postgresql://me:s3cret@127.0.0.1:1/db")
    assert "s3cret" not in str(caught.value)


UNREACHABLE = """
import time

from db.connection import connect
from service import protocol
from service.outcomes import carry_out

begun = time.monotonic()
print(carry_out(lambda: connect("postgresql://me:s3cret@198.18.0.1/db") and {}).end == protocol.TRANSIENT)
print(time.monotonic() - begun < 5)
"""


def test_a_network_that_is_away_for_now(tmp_path: Path):
    """In a network of its own, without any route, as a machine is whose cable was pulled."""
    bare = ("unshare", "--net", "--")
    if shutil.which("unshare") is None or subprocess.run([*bare, "true"], check=False).returncode:
        pytest.skip("no network namespace can be made here (needs root)")
    url = "postgresql://me:s3cret@198.18.0.1/db"

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*bare, sys.executable, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "LODE_DATABASE_URL": url, "LODE_HOME": str(tmp_path / "home")},
            timeout=120,
        )

    done = call("-c", UNREACHABLE)
    assert done.stdout.splitlines() == ["True", "True"], done.stderr
    done = call("-m", "lode", "scene", "list")
    assert done.returncode == 1
    assert done.stderr.startswith("lode: error: cannot connect to ")
    assert "Network is unreachable" in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_no_connection_left(cluster: Cluster, postgis_url: str):
    with connect(cluster.url("postgres"), autocommit=True) as conn:
        conn.execute("create role crowd login")
        try:
            conn.execute("alter role crowd connection limit 0")
            with pytest.raises(RetryError, match="takes no connection now"):
                connect(as_role(postgis_url, "crowd"))
        finally:
            conn.execute("drop role crowd")


def test_lock_timeout_is_tried_until_the_lock_is_free(postgis_url: str):
    calls = []
    with connect(postgis_url) as holder:
        holder.execute("create table public.busy (id integer)")
        holder.commit()
        holder.execute("lock table public.busy")

        def add_column() -> None:
            calls.append(1)
            if len(calls) == 4:
                holder.rollback()
            with connect(postgis_url) as conn:
                conn.execute("set local lock_timeout = '50ms'")
                conn.execute("alter table public.busy add column extra integer")

        with pytest.raises(RetryError, match="other sessions hold a lock"):
            retrying(add_column, attempts=2, first_pause_s=0.01)
        retrying(add_column, attempts=20, first_pause_s=0.05, longest_pause_s=0.1)
    assert len(calls) >= 4


def test_a_session_that_was_ended_is_tried_again(postgis_url: str):
    calls = []

    def work() -> object:
        calls.append(1)
        with connect(postgis_url) as conn:
            if len(calls) == 1:
                conn.execute("select pg_terminate_backend(pg_backend_pid())")
            return conn.execute("select 1").fetchone()

    assert retrying(work, first_pause_s=0.01) == (1,)
    assert len(calls) == 2


def test_a_real_mistake_is_not_tried_again(postgis_url: str):
    def work() -> None:
        with connect(postgis_url) as conn:
            conn.execute("select * from nothing")

    with pytest.raises(errors.UndefinedTable):
        retrying(work, sleep=lambda _s: pytest.fail("must not wait"))


def test_up_and_status_on_a_database_managed_elsewhere(postgis_url: str, tmp_path: Path):
    environment = {**os.environ, "LODE_DATABASE_URL": postgis_url, "LODE_HOME": str(tmp_path / "home")}

    def call(*arguments: str, url: str = postgis_url) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lode", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**environment, "LODE_DATABASE_URL": url},
        )

    done = call("up")
    assert (done.returncode, done.stderr) == (0, "")
    assert "managed elsewhere" in done.stdout
    assert not (tmp_path / "home").exists()
    done = call("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert call("psql", "-Atc", "select to_regclass('lode.scene')").stdout == "lode.scene\n"
    gone = "postgresql://me:s3cret@127.0.0.1:1/db"
    done = call("status", url=gone)
    assert done.returncode == 3
    assert "s3cret" not in done.stdout + done.stderr
    done = call("up", url=gone)
    assert done.returncode == 1
    assert done.stderr.startswith("lode: error: no database server answers")
    assert "s3cret" not in done.stderr
