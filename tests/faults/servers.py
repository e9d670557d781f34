"""What befalls a database server: restarts, ended sessions, no connection left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from db.connection import connect
from db.embedded import Cluster

OTHERS = "datname = current_database() and pid <> pg_backend_pid() and application_name <> 'the test'"


def restart(cluster: Cluster, mode: str) -> None:
    """Restart a cluster: ``fast`` ends its sessions, ``immediate`` is as good as a crash."""
    layout = cluster.layout
    done = layout.account.run(
        [
            cluster.installation().program("pg_ctl"), "restart", "-D", layout.data, "-l", layout.log,
            "-m", mode, "-w", "-t", "120", "-s",
        ],
        timeout_s=130,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def terminate(url: str, share: float = 1.0) -> int:
    """End sessions of the workers, each with a probability; how many."""
    with connect(url, autocommit=True, application_name="the test") as conn:
        row = conn.execute(
            "select count(*) filter (where pg_terminate_backend(pid))"
            f" from pg_stat_activity where {OTHERS} and random() < %s",
            (share,),
        ).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def no_connection_left(url: str) -> Iterator[None]:
    """Use up every connection of the server, those for superusers too; what gets free is taken at once."""
    held: list[psycopg.Connection[Any]] = []
    is_full, is_over = threading.Event(), threading.Event()

    def take() -> None:
        while not is_over.is_set():
            try:
                held.append(psycopg.connect(url, application_name="the test", autocommit=True))
            except psycopg.OperationalError:
                is_full.set()
                time.sleep(0.002)

    taker = threading.Thread(target=take)
    taker.start()
    try:
        assert is_full.wait(60)
        yield
    finally:
        is_over.set()
        taker.join()
        for conn in held:
            conn.close()
