"""A password that does not work, in processes whose logs go where logs go: it is nowhere in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg.conninfo import conninfo_to_dict

from db.connection import connect
from db.embedded import Cluster
from tests.support import REPOSITORY, throwaway_cluster

PASSWORD = "tr0ub4dor&3 @lode"  # noqa: S105 - of a server of this test, and wrong there
PARTS = ("tr0ub4dor", "ub4dor&3", quote(PASSWORD, safe=""), "3 @lode")

# What a worker does with its address: procrastinate's connector, a pool that connects in threads of its own,
# a bug that has the address in its message, and Python's own end by an exception.
PROGRAM = """
import asyncio, logging, os, sys
import procrastinate
from psycopg_pool import ConnectionPool, PoolTimeout
from service import logs

url = os.environ["LODE_DATABASE_URL"]
logs.configure()
log = logs.logger("lode.worker")
with logs.bound(run_id=7, scene="GF2_1"):
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, timeout=1))
    async def work():
        async with app.open_async():
            await app.run_worker_async(wait=False, install_signal_handlers=False)
    try:
        asyncio.run(asyncio.wait_for(work(), 3))
    except Exception:
        log.exception("the queue cannot be reached")
    try:
        with ConnectionPool(url, min_size=1, timeout=1, reconnect_timeout=1) as pool:
            pool.wait(timeout=1)
    except PoolTimeout as error:
        log.warning("no connection", error=error, settings={"url": url}, arguments=[url, {"dsn": url}])
    logging.getLogger("lib").error("cannot reach %s", url, extra={"conninfo": url})
raise RuntimeError(f"cannot go on with {url}")
"""


@pytest.fixture(scope="module")
def guarded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that asks for a password, with a wrong one."""
    from tests.support import reaped_home

    with reaped_home() as home:
        cluster: Cluster = throwaway_cluster(home)
        cluster.ensure_running()
        rules: Path = cluster.layout.data / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
        with connect(cluster.url("postgres"), autocommit=True) as conn:
            conn.execute("create role guarded login password 'another one'")
            conn.execute("select pg_reload_conf()")
        parts = conninfo_to_dict(cluster.url("postgres"))
        folder = quote(str(parts["host"]), safe="/")
        yield (
            f"postgresql://guarded:{quote(PASSWORD, safe='')}@/postgres?host={folder}&port={parts['port']}"
        )


def run(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "LODE_DATABASE_URL": url, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    said = done.stdout + done.stderr
    assert "password authentication failed" in said, "the password was asked for and was wrong"
    assert not [part for part in PARTS if part in said], said
    return done


def test_the_logs_of_all_libraries_have_no_password(guarded_url: str) -> None:
    done = run(guarded_url, "-W", "default", "-c", PROGRAM, LODE_LOG="json", LODE_LOG_LEVEL="debug")
    assert done.returncode == 1
    assert done.stdout == ""
    events = [json.loads(line) for line in done.stderr.splitlines()]
    told = {event["event"]: event for event in events}
    assert told["the queue cannot be reached"]["run_id"] == 7
    assert "Traceback" in told["the queue cannot be reached"]["exception"]
    assert told["no connection"]["settings"]["url"].startswith("postgresql://guarded:***@/postgres?host=")
    assert told["a bug ended this process"]["level"] == "critical"
    assert {"psycopg.pool", "lib"} <= {event["logger"] for event in events}


def test_a_worker_with_a_wrong_password_does_not_repeat_it(guarded_url: str) -> None:
    done = run(guarded_url, "-m", "lode", "worker", "--drain", "--queues", "report", LODE_LOG="text")
    assert done.returncode == 1
    assert "refused the login" in done.stderr
