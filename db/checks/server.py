"""Checks of the server: dead rows, transactions that hold others back, its disk and its clock."""

from __future__ import annotations

import os
import time
from typing import Any

from psycopg import Connection

from db.checks.result import WHO_SEES, Check, Found, Limits, bytes_in_words, seconds_in_words

_DEAD_ROWS = """
select
  format('%I.%I', t.schemaname, t.relname) as name,
  t.n_dead_tup,
  t.n_dead_tup::float / nullif(t.n_live_tup + t.n_dead_tup, 0) as share,
  pg_table_size(t.relid) as size_bytes,
  to_char(greatest(t.last_vacuum, t.last_autovacuum) at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as vacuumed,
  'autovacuum_enabled=false' = any (c.reloptions) as is_off
from pg_stat_user_tables t
join pg_class c on c.oid = t.relid
where t.schemaname in ('lode', 'lode_raster', 'lode_queue')
  and (t.n_dead_tup > 0 or 'autovacuum_enabled=false' = any (c.reloptions))
order by 1
"""


def _dead_rows(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    row = conn.execute("select current_setting('autovacuum'), current_setting('track_counts')").fetchone()
    if row != ("on", "on"):
        found.faults.append("autovacuum or track_counts is switched off on this server")
    for name, dead, share, size_bytes, vacuumed, is_off in conn.execute(_DEAD_ROWS.encode()):
        if is_off:
            found.warnings.append(f"autovacuum is switched off for {name}")
        if share is not None and share > limits.dead_share and share * size_bytes >= limits.dead_bytes:
            found.warnings.append(
                f"{name}: {dead} rows are dead, {share:.0%} of {bytes_in_words(size_bytes)};"
                f" last vacuum: {vacuumed or 'never'}"
            )
    return found


_SESSIONS = """
select a.pid, a.usename::text, a.application_name, a.state,
  extract(epoch from clock_timestamp() - a.xact_start)::float,
  extract(epoch from clock_timestamp() - a.state_change)::float,
  age(a.backend_xmin)
from pg_stat_activity a
where a.datname = current_database() and a.backend_type = 'client backend'
  and a.pid <> pg_backend_pid() and a.xact_start is not null
order by a.xact_start
"""

_PREPARED = """
select gid, extract(epoch from now() - prepared)::float from pg_prepared_xacts
where database = current_database()
order by prepared
"""


def _transactions(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    least_s, most_s = limits.transaction_s
    for pid, role, application, state, age_s, idle_s, held in conn.execute(_SESSIONS):
        who = f"session {pid} of {role} ({application or 'no name'})"
        is_idle = (state or "").startswith("idle in transaction")
        if age_s >= least_s:
            holds = f"; vacuum waits for it, {held} transactions have begun since" if held else ""
            said = f"{who} has been in one transaction for {seconds_in_words(age_s)}{holds}"
            (found.faults if age_s >= most_s else found.warnings).append(said)
        elif is_idle and idle_s >= limits.idle_s:
            found.warnings.append(f"{who} has been idle in a transaction for {seconds_in_words(idle_s)}")
    for gid, age_s in conn.execute(_PREPARED):
        if age_s >= least_s:
            found.faults.append(f"prepared transaction {gid} was left open {seconds_in_words(age_s)} ago")
    row = conn.execute("select pg_notification_queue_usage()").fetchone()
    if row is not None and row[0] >= limits.notifications_share:
        found.warnings.append(
            f"{row[0]:.0%} of the room for notifications is taken: a session that listens does not end its"
            " transaction; when it is full nothing is published"
        )
    if not _may(conn, "pg_read_all_stats"):
        found.unseen.append(f"sessions of other roles: this role may not look; {WHO_SEES}")
    return found


_AGES = """
select datname::text, greatest(age(datfrozenxid), mxid_age(datminmxid)) from pg_database where datallowconn
order by 1
"""


def _wraparound(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    warn, fail = limits.transaction_ids
    for name, age in conn.execute(_AGES):
        if age >= warn:
            said = f"database {name}: {age:,} transactions since it was last frozen, of 2,000,000,000"
            (found.faults if age >= fail else found.warnings).append(said)
    return found


_SLOTS = """
select slot_name::text, active, wal_status,
  pg_wal_lsn_diff(
    case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn
  )::bigint
from pg_replication_slots
order by 1
"""

_ARCHIVE = """
select failed_count > 0 and last_failed_time > coalesce(last_archived_time, '-infinity'), last_failed_wal
from pg_stat_archiver
"""


def _slots(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    warn, fail = limits.kept_wal_bytes
    for name, active, wal_status, kept_bytes in conn.execute(_SLOTS):
        who = f"replication slot {name} ({'in use' if active else 'nobody uses it'})"
        if wal_status == "lost":
            found.faults.append(f"{who} has lost its write-ahead log: its replica must be made anew")
        elif (kept_bytes or 0) >= warn:
            said = f"{who} keeps {bytes_in_words(kept_bytes)} of write-ahead log"
            (found.faults if kept_bytes >= fail else found.warnings).append(said)
    row = conn.execute(_ARCHIVE).fetchone()
    if row is not None and row[0]:
        found.faults.append(f"archiving the write-ahead log fails, at {row[1]}: see archive_command")
    return found


def _safety(conn: Connection[Any], _limits: Limits) -> Found:
    rows = conn.execute(
        "select name, setting from pg_settings"
        " where name in ('fsync', 'full_page_writes') and setting = 'off' order by 1"
    ).fetchall()
    return Found(warnings=[f"{name} is off: a power cut may destroy the database" for name, _ in rows])


def _disk(conn: Connection[Any], limits: Limits) -> Found:
    """Room: known where the server is on this machine and the role may ask where its data lies."""
    found = Found()
    if not _may(conn, "pg_read_all_settings"):
        return Found(unseen=[f"where the data lies: this role may not look; {WHO_SEES}"])
    if not (conn.info.host or "/").startswith("/"):
        return Found(unseen=[f"the disk of {conn.info.host}: look there"])
    rows = conn.execute(
        "select current_setting('data_directory') union"
        " select pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) <> ''"
        " order by 1"
    ).fetchall()
    warn, fail = limits.free_bytes
    for (folder,) in rows:
        try:
            facts = os.statvfs(folder)
        except OSError as error:
            found.unseen.append(f"the disk of {folder}: {error.strerror}")
            continue
        free_bytes = facts.f_bavail * facts.f_frsize
        if free_bytes < warn:
            said = f"the disk of {folder} has {bytes_in_words(free_bytes)} left"
            (found.faults if free_bytes < fail else found.warnings).append(said)
    return found


def _clock(conn: Connection[Any], limits: Limits) -> Found:
    before = time.time()
    row = conn.execute("select extract(epoch from clock_timestamp())::float").fetchone()
    after = time.time()
    if row is None:
        return Found(unseen=["the server's clock"])
    # The server read its clock somewhere between the two.
    apart_s = max(before - row[0], row[0] - after, 0.0)
    warn, fail = limits.clock_s
    if apart_s < warn:
        return Found()
    way = "ahead of" if before > row[0] else "behind"
    said = f"this machine's clock is {seconds_in_words(apart_s)} {way} the server's"
    return Found([said]) if apart_s >= fail else Found(warnings=[said])


def _may(conn: Connection[Any], role: str) -> bool:
    row = conn.execute("select pg_has_role(current_user, %s, 'usage')", (role,)).fetchone()
    return row is not None and bool(row[0])


CHECKS = (
    Check(
        "Dead rows are removed",
        "vacuum (verbose, analyze) <table>, never VACUUM FULL; look for long transactions",
        _dead_rows,
    ),
    Check(
        "No transaction holds the others back",
        "select pg_terminate_backend(<session>); rollback prepared '<name>'",
        _transactions,
    ),
    Check("Transaction numbers do not run out", "vacuum (freeze) the database, table by table", _wraparound),
    Check(
        "The write-ahead log does not pile up",
        "start the replica or the archive again, or select pg_drop_replication_slot('<slot>')",
        _slots,
    ),
    Check("The server is safe at a power cut", "set it to on and reload the server", _safety),
    Check("The server has room on its disk", "see docs/operations.md, Disk full", _disk),
    Check("Clocks agree", "let both machines keep time by NTP (systemd-timesyncd, chrony)", _clock),
)
