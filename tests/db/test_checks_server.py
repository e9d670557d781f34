"""What `lode db check` says of the server: dead rows, transactions, its disk and its clock."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from db.checks import CheckResult, Limits, run_checks
from db.checks.result import Check, bytes_in_words, run_check, seconds_in_words
from db.checks.server import CHECKS
from db.connection import connect
from db.embedded import Cluster
from tests.support import throwaway_cluster


def said(conn: Connection[Any], title: str, limits: Limits | None = None) -> CheckResult:
    conn.rollback()  # statistics and activity are seen as they were when a transaction first looked
    [result] = [result for result in run_checks(conn, limits) if title in result.title]
    return result


def test_dead_rows_are_told_by_share_and_size(conn: Connection[Any]) -> None:
    title = "Dead rows"
    conn.execute("alter table lode.quota set (autovacuum_enabled = false)")
    conn.execute("insert into lode.quota (role_name) select 'r' || n from generate_series(1, 3000) n")
    conn.commit()
    conn.execute("update lode.quota set pending_runs = 1 where role_name like 'r%'")
    conn.execute("select pg_stat_force_next_flush()")
    conn.commit()
    small = Limits(dead_bytes=10_000)
    result = said(conn, title, small)
    assert result.faults == []
    assert result.warnings[0] == "autovacuum is switched off for lode.quota"
    assert result.warnings[1].startswith("lode.quota: 3000 rows are dead, 50% of 0 MB; last vacuum: never")
    assert len(said(conn, title, Limits(dead_bytes=10_000, dead_share=0.6)).warnings) == 1
    assert len(said(conn, title).warnings) == 1, "64 MB are not reached"
    conn.rollback()
    conn.autocommit = True
    conn.execute("vacuum lode.quota")
    conn.execute("alter table lode.quota reset (autovacuum_enabled)")
    conn.execute("select pg_stat_force_next_flush()")
    conn.autocommit = False
    assert said(conn, title, small).warnings == []


def test_long_transactions_are_told(conn: Connection[Any], database_url: str) -> None:
    title = "holds the others back"
    with connect(database_url, application_name="forgotten") as other:
        other.execute("select count(*) from lode.scene")
        other.execute("select pg_sleep(0.3)")
        time.sleep(0.5)
        assert said(conn, title).warnings == []
        [line] = said(conn, title, Limits(transaction_s=(0.4, 100))).warnings
        assert f"session {other.info.backend_pid} of " in line
        assert re.search(r"\(forgotten\) has been in one transaction for [0-9]+ s", line)
        result = said(conn, title, Limits(transaction_s=(0.1, 0.2)))
        assert (len(result.faults), result.warnings) == (1, [])
        [line] = said(conn, title, Limits(idle_s=0.4)).warnings
        assert re.search(r"\(forgotten\) has been idle in a transaction for [0-9]+ s$", line)
        other.rollback()
        assert said(conn, title, Limits(idle_s=0.0, transaction_s=(0.0, 0.0))).warnings == []
        [line] = said(conn, title, Limits(notifications_share=0.0)).warnings
        assert line.startswith("0% of the room for notifications is taken")


def test_numbers_that_run_out_are_told(conn: Connection[Any]) -> None:
    title = "do not run out"
    assert said(conn, title).faults == []
    result = said(conn, title, Limits(transaction_ids=(1, 2_000_000_000)))
    assert any(f"database {conn.info.dbname}: " in line for line in result.warnings)
    assert said(conn, title, Limits(transaction_ids=(1, 2))).faults


def test_the_disk_is_looked_at_where_it_can_be(conn: Connection[Any], cluster: Cluster) -> None:
    title = "room on its disk"
    result = said(conn, title, Limits(free_bytes=(10**18, 0)))
    assert (result.faults, result.unseen) == ([], [])
    assert result.warnings[0].startswith(f"the disk of {cluster.layout.data} has ")
    assert len(said(conn, title, Limits(free_bytes=(10**18, 10**18))).faults) == 1
    assert said(conn, title, Limits(free_bytes=(1, 0))) == CheckResult(result.title, [], result.hint, [], [])


def test_clocks_that_differ_are_told(conn: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    title = "Clocks agree"
    assert said(conn, title, Limits(clock_s=(1.0, 2.0))).warnings == []
    real = time.time
    for shift_s, way in ((30.0, "ahead of"), (-30.0, "behind")):
        monkeypatch.setattr("db.checks.server.time.time", lambda shift_s=shift_s: real() + shift_s)
        # less by what the server's answer takes
        told = rf"this machine's clock is (29|30) s {way} the server's"
        [warning] = said(conn, title).warnings
        assert re.fullmatch(told, warning)
        [fault] = said(conn, title, Limits(clock_s=(5.0, 20.0))).faults
        assert re.fullmatch(told, fault)


def test_a_server_that_is_not_safe_is_told(conn: Connection[Any]) -> None:
    """The test's cluster is one."""
    result = said(conn, "power cut")
    assert result.faults == []
    assert result.warnings == [
        "fsync is off: a power cut may destroy the database",
        "full_page_writes is off: a power cut may destroy the database",
    ]


def check_of(title: str) -> Check:
    [check] = [check for check in CHECKS if title in check.title]
    return check


def test_what_holds_the_write_ahead_log_or_locks_for_ever_is_told(home: Path) -> None:
    """A slot without its replica, an archive that fails, a forgotten prepared transaction."""
    cluster = throwaway_cluster(home)
    cluster.ensure_running()
    url = cluster.url("postgres")
    with connect(url, autocommit=True) as conn:
        for setting in (
            "wal_level = 'replica'",
            "max_wal_senders = 3",
            "archive_mode = on",
            "archive_command = 'false'",
            "max_prepared_transactions = 2",
        ):
            conn.execute(f"alter system set {setting}")
    cluster.stop()
    cluster.ensure_running()
    with psycopg.connect(url) as conn:
        conn.execute("create table filled as select n from generate_series(1, 20000) n")
        conn.execute("prepare transaction 'half'")
    with connect(url, autocommit=True) as conn:
        assert run_check(conn, check_of("holds the others"), Limits()).faults == []
        time.sleep(0.2)
        result = run_check(conn, check_of("holds the others"), Limits(transaction_s=(0.1, 1.0)))
        [fault] = result.faults
        assert re.fullmatch(r"prepared transaction half was left open \d+ s ago", fault)

        log = check_of("write-ahead")
        conn.execute("select pg_create_physical_replication_slot('replica_1', true)")
        conn.execute("rollback prepared 'half'")
        conn.execute("create table filled as select n from generate_series(1, 20000) n")
        assert run_check(conn, log, Limits()).warnings == []
        [line] = run_check(conn, log, Limits(kept_wal_bytes=(1000, 10**12))).warnings
        assert line.startswith("replication slot replica_1 (nobody uses it) keeps ")
        assert len(run_check(conn, log, Limits(kept_wal_bytes=(100, 1000))).faults) == 1
        conn.execute("select pg_switch_wal()")
        for _ in range(100):
            faults = run_check(conn, log, Limits()).faults
            if faults:
                break
            time.sleep(0.1)
        assert faults[0].startswith("archiving the write-ahead log fails, at 0000")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (90, "90 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200000, "2 days")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


def test_sizes_in_words() -> None:
    assert [bytes_in_words(size) for size in (4e5, 64e6, 2.5e9)] == ["0 MB", "64 MB", "2.5 GB"]
