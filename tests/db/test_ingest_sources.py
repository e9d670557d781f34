"""The table of sources as people edit it in QGIS or psql, and the scheduler that reads it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import Connection, errors

from db.connection import connect
from db.errors import UsageError
from db.ingest_sources import NewSource, add_source, take_schedule
from service.redaction import Redactor
from service.scheduling import enqueue_due_sources, next_time


def insert(conn: Connection[Any], **values: Any) -> None:
    fields = {"name": "s", "kind": "folder", "location": "/data/in", **values}
    names = ", ".join(fields)
    conn.execute(
        f"insert into lode.ingest_source ({names}) values ({', '.join(['%s'] * len(fields))})",  # type: ignore[arg-type]
        list(fields.values()),
    )


def state(conn: Connection[Any]) -> tuple[Any, ...]:
    row = conn.execute("select next_scan_at, enabled, cron from lode.ingest_source").fetchone()
    assert row is not None
    return tuple(row)


REFUSED = [
    ({"name": "  "}, "needs a name"),
    ({"kind": "ftp"}, "kind_check"),
    ({"location": "data/in"}, "no absolute path"),
    ({"location": "/data/../etc"}, "no absolute path"),
    ({"location": "/vsicurl/http://x/y"}, "no absolute path"),
    ({"location": "https://x.example/"}, "no absolute path"),
    ({"kind": "stac_api", "location": "/data"}, "lies at an address such as"),
    ({"kind": "stac_api", "location": "ftp://x.example"}, "lies at an address such as"),
    ({"kind": "stac_api", "location": "https://me:pw@x.example/"}, "holds a password or key"),
    ({"kind": "stac_api", "location": "https://x.example/?a=1&api_key=abc"}, "holds a password or key"),
    ({"kind": "stac_catalogue", "location": "https://x.example/c.json?sig=abc"}, "holds a password or key"),
    ({"kind": "stac_catalogue", "location": "file:///data/c.json"}, "no absolute path"),
    ({"collections": ["a"]}, "a folder has no collections"),
    ({"options": "[1]"}, "options_check"),
    ({"cloud_limit": 20}, "cloud_limit_check"),
    ({"from_day": "2024-01-02", "to_day": "2024-01-01"}, "days_check"),
    ({"settle_s": -1}, "settle_s_check"),
    ({"mine_codes": []}, "mine_codes_check"),
    ({"report_folder": "out"}, "nothing to report without a network"),
    ({"report_folder": "../out"}, "is no folder for reports"),
    ({"area": "srid=4326;multipolygon(((0 0,1 1,1 0,0 1,0 0)))"}, "Self-intersection"),
    ({"area": "srid=4326;multipolygon empty"}, "its area is empty"),
    ({"cron": "often"}, "it has 1 fields, not 5"),
    ({"cron": "0 3 * *"}, "it has 4 fields"),
    ({"cron": "60 3 * * *"}, "its minute is '60'"),
    ({"cron": "0 24 * * *"}, "its hour is '24'"),
    ({"cron": "0 3 0 * *"}, "its day of month is '0'"),
    ({"cron": "0 3 * JAN *"}, "its month is 'JAN'"),
    ({"cron": "0 3 * * 8"}, "its day of week is '8'"),
    ({"cron": "*/0 * * * *"}, "its minute"),
    ({"cron": "5-1 * * * *"}, "its minute"),
    ({"cron": "0 3 31 2,4 *"}, "has no day 31"),
]


def test_sources_that_cannot_be_right_are_refused_with_the_reason(conn: Connection[Any]) -> None:
    for values, reason in REFUSED:
        with pytest.raises(errors.CheckViolation) as caught, conn.transaction():
            insert(conn, **values)
        assert reason in str(caught.value), values
        assert "pw" not in str(caught.value)
        assert "abc" not in (caught.value.diag.message_primary or "")
    assert conn.execute("select count(*) from lode.ingest_source").fetchone() == (0,)


SECRET_NAMES = [
    "api-key", "api_key", "apikey", "key", "Ocp-Apim-Subscription-Key", "subscription-key", "access_key",
    "accesskey", "AWSAccessKeyId", "access_token", "X-Amz-Security-Token", "X-Amz-Signature",
    "X-Amz-Credential", "sig", "signature", "pwd", "password", "passwd", "passphrase", "client_secret",
    "auth", "authorization", "cookie",
]  # fmt: skip


def test_no_location_keeps_a_secret(conn: Connection[Any]) -> None:
    for name in SECRET_NAMES:
        for separator in "?&;#":
            location = f"https://x.example/v1?a=1{separator}{name}=Abc123"
            with pytest.raises(errors.CheckViolation, match="holds a password or key"), conn.transaction():
                insert(conn, kind="stac_api", location=location)
        assert "Abc123" not in Redactor().text(f"https://x.example/v1?{name}=Abc123")


def test_a_location_that_only_looks_so_is_taken(conn: Connection[Any]) -> None:
    for number, query in enumerate(("a=key", "author=me", "design=1", "keyword=mine", "f=json#key")):
        insert(conn, name=f"s{number}", kind="stac_api", location=f"https://x.example/token/v1?{query}")


def test_a_location_of_an_older_rule_stops_no_scheduler(conn: Connection[Any], database_url: str) -> None:
    location = "https://x.example/v1?api-key=abc"
    conn.execute("alter table lode.ingest_source disable trigger guard")
    insert(conn, name="old", kind="stac_api", location=location, cron="* * * * *")
    conn.execute("alter table lode.ingest_source enable trigger guard")
    insert(conn, cron="* * * * *")
    conn.execute("update lode.ingest_source set next_scan_at = now() - interval '1 minute'")
    conn.commit()
    assert enqueue_due_sources(database_url) == 2
    conn.execute("update lode.ingest_source set enabled = false where name = 'old'")
    with pytest.raises(errors.CheckViolation, match="holds a password or key"), conn.transaction():
        conn.execute("update lode.ingest_source set location = location || '&a=1' where name = 'old'")


CRONS = [
    "* * * * *",
    "0 3 * * *",
    "*/15 6-18 * * 1-5",
    "0 0 29 2 *",
    "5,35 1 1,15 */3 7",
    "0 0 31 2 1",
    "10/20 * * * 0",
]


def test_what_the_database_takes_for_a_cron_expression_has_a_next_time(conn: Connection[Any]) -> None:
    now = datetime(2023, 6, 1, 12, 34, 56, tzinfo=UTC)
    for cron in CRONS:
        row = conn.execute("select lode_api.cron_fault(%s)", (cron,)).fetchone()
        assert row == (None,), cron
        assert next_time(cron, now) > now
    assert next_time("0 3 * * *", now) == datetime(2023, 6, 2, 3, tzinfo=UTC)
    assert next_time("*/15 * * * *", now) == datetime(2023, 6, 1, 12, 45, tzinfo=UTC)
    assert next_time("0 0 29 2 *", now) == datetime(2024, 2, 29, tzinfo=UTC)
    with pytest.raises(UsageError, match="names no moment"):
        next_time("0 0 31 2 *", now)


RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


@pytest.mark.parametrize(
    "cron",
    [
        "0 3-3 * * *", "7-7 03-3/2 * * *", "5-5,50-52/1 * * * *", "0 0 15-15 * *", "0 0 * 11-11 *",
        "30 6 * * 6-6", "30 6 * * 7-7/3", "0 13-13/5,1-2 1-3 2-2 *", "10-12 3-23 * * *",
    ],
)  # fmt: skip
def test_the_scheduler_comes_at_the_moments_that_the_database_reads(conn: Connection[Any], cron: str) -> None:
    """Compared minute by minute with ``lode_api.cron_values`` until the third moment."""
    fields = []
    for text, (low, high) in zip(cron.split(), RANGES, strict=True):
        row = conn.execute("select lode_api.cron_values(%s, %s, %s)", (text, low, high)).fetchone()
        assert row is not None
        fields.append({value % 7 for value in row[0]} if high == 7 else set(row[0]))
    minutes, hours, days, months, weekdays = fields
    now = datetime(2024, 3, 30, 23, 59, 30, tzinfo=UTC)
    moment = datetime(2024, 3, 31, tzinfo=UTC)
    for _ in range(3):
        while not (
            moment.month in months and moment.day in days and moment.isoweekday() % 7 in weekdays
            and moment.hour in hours and moment.minute in minutes
        ):  # fmt: skip
            moment += timedelta(minutes=1)
        now = next_time(cron, now)
        assert now == moment
        moment += timedelta(minutes=1)


@pytest.mark.parametrize(
    "cron", ["0 3 31 4 *", "0 3 30 2 *", "x", "1,2, * * * *", "* * * * * *", "0 3 * * 1-"]
)
def test_both_sides_refuse_the_same(conn: Connection[Any], cron: str) -> None:
    row = conn.execute("select lode_api.cron_fault(%s)", (cron,)).fetchone()
    assert row is not None
    assert row[0] is not None


def jobs(conn: Connection[Any]) -> list[dict[str, int]]:
    rows = conn.execute(
        "select args from lode_queue.procrastinate_jobs where task_name = 'scan_source' and status = 'todo'"
    ).fetchall()
    return [row[0] for row in rows]


def test_the_scheduler_computes_times_and_makes_up_once_for_what_was_missed(
    conn: Connection[Any], database_url: str
) -> None:
    insert(conn, cron="0 3 * * *")
    insert(conn, name="by hand")
    insert(conn, name="paused", cron="* * * * *", enabled=False)
    conn.commit()
    assert enqueue_due_sources(database_url) == 0
    row = conn.execute("select next_scan_at, now() from lode.ingest_source where name = 's'").fetchone()
    assert row is not None
    due, now = row
    assert now < due <= now + timedelta(days=1)
    assert (due.astimezone(UTC).hour, due.minute, due.second) == (3, 0, 0)
    assert conn.execute("select count(*) from lode.ingest_source where next_scan_at is null").fetchone() == (
        2,
    )
    # Everything was down for a week.
    conn.execute(
        "update lode.ingest_source set next_scan_at = next_scan_at - interval '8 days' where cron <> ''"
    )
    conn.commit()
    assert enqueue_due_sources(database_url) == 1
    assert len(jobs(conn)) == 1
    assert enqueue_due_sources(database_url) == 0
    conn.rollback()
    row = conn.execute("select next_scan_at > now() from lode.ingest_source where name = 's'").fetchone()
    assert row == (True,)
    # A job that still waits is enough.
    conn.execute("update lode.ingest_source set next_scan_at = now() - interval '1 hour' where name = 's'")
    conn.commit()
    assert enqueue_due_sources(database_url) == 0
    assert len(jobs(conn)) == 1


def test_a_time_written_while_the_clock_ran_ahead_is_corrected(
    conn: Connection[Any], database_url: str
) -> None:
    insert(conn, cron="0 3 * * *")
    insert(conn, name="in leap years", cron="0 0 29 2 *")
    conn.commit()
    enqueue_due_sources(database_url)
    right = "select array_agg(next_scan_at order by name) from lode.ingest_source"
    before = conn.execute(right).fetchone()
    conn.execute("update lode.ingest_source set next_scan_at = next_scan_at + interval '8 years'")
    conn.commit()
    assert enqueue_due_sources(database_url) == 0
    assert conn.execute(right).fetchone() == before
    assert jobs(conn) == []


def test_a_change_of_times_is_computed_anew_and_who_added_a_source_stays(
    conn: Connection[Any], database_url: str
) -> None:
    insert(conn, cron="0 3 * * *", created_by="somebody else", next_scan_at="2001-01-01")
    assert state(conn)[0] is None
    conn.commit()
    enqueue_due_sources(database_url)
    before = state(conn)[0]
    assert before is not None
    conn.execute("update lode.ingest_source set cloud_limit = 0.5, created_by = 'me'")
    assert state(conn)[0] == before
    conn.execute("update lode.ingest_source set cron = '0 4 * * *'")
    assert state(conn)[0] is None
    conn.commit()
    enqueue_due_sources(database_url)
    assert state(conn)[0] is not None
    conn.execute("update lode.ingest_source set enabled = false")
    assert state(conn)[0] is None
    row = conn.execute("select created_by = session_user from lode.ingest_source").fetchone()
    assert row == (True,)


def test_many_schedulers_at_once_make_one_job(conn: Connection[Any], database_url: str) -> None:
    insert(conn, cron="* * * * *")
    conn.commit()
    enqueue_due_sources(database_url)
    conn.execute("update lode.ingest_source set next_scan_at = now() - interval '1 minute'")
    conn.commit()
    made: list[int] = []
    threads = [
        threading.Thread(target=lambda: made.append(enqueue_due_sources(database_url))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(made) == 1
    assert len(jobs(conn)) == 1
    with connect(database_url) as other:
        assert take_schedule(other)
        assert enqueue_due_sources(database_url) == 0


def test_refusals_reach_the_command_line_as_usage_errors(conn: Connection[Any]) -> None:
    add_source(conn, NewSource("a", "folder", "/in"))
    with pytest.raises(UsageError, match="there is a source a already"), conn.transaction():
        add_source(conn, NewSource("a", "folder", "/in"))
    with pytest.raises(UsageError, match="there is no mine M7"):
        add_source(conn, NewSource("b", "folder", "/in", mine_codes=["M7"]))
    with pytest.raises(UsageError, match=r"cron 'x' is no time.*For instance"), conn.transaction():
        add_source(conn, NewSource("b", "folder", "/in", cron="x"))
