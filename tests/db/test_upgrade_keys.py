"""Keys are handed out once, whatever upgrades come between and whatever becomes of the server."""

from __future__ import annotations

import os
import signal
import time

from psycopg import Connection
from psycopg.rows import TupleRow

from db.connection import connect
from db.upgrade import upgrade
from tests.support import reaped_home, throwaway_cluster

USED = (
    "select format('%I.%I', schemaname, sequencename) from pg_sequences"
    " where schemaname = 'lode' and last_value is not null order by 1"
)


def drawn(conn: Connection[TupleRow], sequence: str, count: int) -> list[int]:
    query = "select nextval(%s::regclass) from generate_series(1, %s)"
    return [key for (key,) in conn.execute(query, (sequence, count))]


def test_an_upgrade_writes_no_sequence_that_others_draw_from(database_url: str) -> None:
    """What it wrote would be older than a key that was drawn meanwhile."""
    with connect(database_url, autocommit=True) as conn:
        names = [name for (name,) in conn.execute(USED)]
        assert len(names) >= 3
        for name in names:
            drawn(conn, name, 5)
        places = {name: conn.execute(f"select last_value, log_cnt from {name}").fetchone() for name in names}
        assert all(place is not None and place[1] > 0 for place in places.values())  # 0: it was written
        for rebuild in (False, True):
            upgrade(database_url, rebuild=rebuild)
            for name, place in places.items():
                assert conn.execute(f"select last_value, log_cnt from {name}").fetchone() == place


def test_keys_that_were_drawn_after_an_upgrade_are_not_drawn_again_after_a_crash() -> None:
    """They were made and used in one transaction, which ``wal_level = minimal`` does not log."""
    with reaped_home() as home:
        cluster = throwaway_cluster(home)
        cluster.ensure_running()
        cluster.create_database("seeded")
        upgrade(cluster.url("seeded"))
        with connect(cluster.url("seeded"), autocommit=True) as conn:
            conn.execute("set synchronous_commit = on")
            names = [name for (name,) in conn.execute(USED)]
            before = {name: drawn(conn, name, 5) for name in names}
            conn.execute("create table drawn (keys integer)")  # its commit takes the log with it
        assert len(before) >= 3
        pid = cluster.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        cluster.ensure_running()
        with connect(cluster.url("seeded"), autocommit=True) as conn:
            after = {name: drawn(conn, name, 1)[0] for name in names}
    assert {name: key for name, key in after.items() if key <= before[name][-1]} == {}
