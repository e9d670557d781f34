"""What was found in sources: all SQL of ``lode.ingest_item``.

An item is stored by whoever holds its newest token, in the transaction that stores its scene. Attempts are
counted when they begin and given back when they are released.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import shapely
from psycopg import Connection
from psycopg.types.json import Jsonb

from db.errors import SupersededError, UsageError
from db.ingest_runs import LONGEST_ERROR, follow_run, request_run
from db.ingest_sources import IngestSource, printable
from db.labels import ewkb_hex
from db.locks import end_sessions

ATTEMPTS = 3
LONGEST_KEY = 1000

IS_UNHEARD = "coalesce(i.updated_at, i.started_at) < clock_timestamp() - interval '6 hours'"
"""Whether nothing was heard of an attempt at an item for so long that it counts as lost."""

IS_HELD = """(
  exists (
    select from pg_stat_activity a
    where a.datname = current_database() and a.application_name in (
      format('lode item %%s', i.ingest_item_id), format('lode item %%s at work', i.ingest_item_id)
    )
  ) or exists (
    select from lode_queue.procrastinate_jobs j
    join lode_queue.procrastinate_workers w on w.id = j.worker_id
    left join lode.worker o on o.worker_id = w.id
    where j.status = 'doing' and j.queueing_lock = format('item %%s', i.ingest_item_id)
      and w.last_heartbeat > clock_timestamp() - make_interval(secs => coalesce(o.silent_s, 60))
  )
)"""
"""A process is at an item: it is connected, or its worker is heard of (its connection may be lost)."""

_ENQUEUE_LOST = f"""
select lode_api.enqueue(
  'ingest', 'ingest_item', jsonb_build_object('ingest_item_id', i.ingest_item_id),
  format('item %%s', i.ingest_item_id)
)
from lode.ingest_item i
where i.ingest_source_id = %s
  and not exists (
    select from lode_queue.procrastinate_jobs j
    where j.status in ('todo', 'doing') and j.queueing_lock = format('item %%s', i.ingest_item_id)
  )
  and (i.status = 'found' or (i.status in ('fetching', 'fetched') and {IS_UNHEARD}))
order by i.ingest_item_id
"""  # noqa: S608 - composed of constants


@dataclass(frozen=True)
class Facts:
    """What is known of a scene before it is stored; None: not known.

    Attributes:
        acquired_on: day (UTC).
        footprint: outline, EPSG:4326.
        cloud_fraction: 0..1.

    """

    acquired_on: date | None = None
    footprint: shapely.MultiPolygon | None = None
    cloud_fraction: float | None = None


@dataclass(frozen=True)
class Found:
    """Something found in a source.

    Attributes:
        key: collection and id of a STAC item, or path in the folder.
        mark: tells its content from another one under the same key.
        href: where it lies.
        facts: what the catalogue says of it.

    """

    key: str
    mark: str
    href: str
    facts: Facts = Facts()


@dataclass(frozen=True)
class Known:
    """An item that is in the database already.

    Attributes:
        href: where it lay when it was found.
        has_others: whether other content was found under its key.

    """

    ingest_item_id: int
    status: str
    has_run: bool
    facts: Facts
    href: str
    has_others: bool


@dataclass(frozen=True)
class Claim:
    """The right to fetch and store one attempt of an item."""

    ingest_item_id: int
    ingest_source_id: int
    key: str
    mark: str
    href: str
    attempt: int
    token: UUID

    @property
    def is_last(self) -> bool:
        """Whether no other attempt follows."""
        return self.attempt >= ATTEMPTS


def known_item(conn: Connection[Any], source_id: int, found: Found) -> Known | None:
    """The item with this key and content, if it was found before."""
    row = conn.execute(
        "select i.ingest_item_id, i.status, i.run_id is not null, i.acquired_on, st_asbinary(i.footprint),"
        " i.cloud_fraction, i.href, exists (select from lode.ingest_item o"
        "  where o.ingest_source_id = i.ingest_source_id and o.item_key = i.item_key and o.mark <> i.mark)"
        " from lode.ingest_item i where i.ingest_source_id = %s and i.item_key = %s and i.mark = %s",
        (source_id, found.key, found.mark),
    ).fetchone()
    if row is None:
        return None
    outline = None if row[4] is None else shapely.from_wkb(row[4])
    return Known(row[0], row[1], row[2], Facts(row[3], outline, row[5]), row[6], row[7])


def insert_item(conn: Connection[Any], source_id: int, found: Found, unwanted: str | None) -> int | None:
    """Write down what was found, with the reason where it is not wanted; its key, None if it was there.

    Raises:
        UsageError: the source was removed meanwhile.

    """
    kept = conn.execute(
        "select from lode.ingest_source where ingest_source_id = %s for key share", (source_id,)
    ).fetchone()
    if kept is None:
        raise UsageError(f"source {source_id} was removed while it was looked through")
    row = conn.execute(
        "insert into lode.ingest_item (ingest_source_id, item_key, mark, href, acquired_on, footprint,"
        " cloud_fraction, status, error) values (%s, %s, %s, %s, %s, %s::geometry, %s, %s, %s)"
        " on conflict (ingest_source_id, item_key, mark) do nothing returning ingest_item_id",
        (
            source_id,
            found.key,
            found.mark,
            found.href,
            found.facts.acquired_on,
            None if found.facts.footprint is None else ewkb_hex(found.facts.footprint),
            found.facts.cloud_fraction,
            "found" if unwanted is None else "skipped",
            unwanted,
        ),
    ).fetchone()
    return None if row is None else int(row[0])


def move_item(conn: Connection[Any], item_id: int, href: str) -> None:
    """Write down where an item lies now, unless somebody is at it or it is stored."""
    conn.execute(
        "update lode.ingest_item set href = %s"
        " where ingest_item_id = %s and status in ('found', 'skipped', 'failed')",
        (href, item_id),
    )


def reopen_item(conn: Connection[Any], item_id: int) -> bool:
    """Find an item anew that was not wanted; False: somebody else did."""
    done = conn.execute(
        "update lode.ingest_item set status = 'found', error = null, attempt = 0"
        " where ingest_item_id = %s and status = 'skipped' and run_id is null",
        (item_id,),
    )
    return done.rowcount > 0


def enqueue_lost(conn: Connection[Any], source_id: int) -> int:
    """Put jobs for items into the queue that have none and wait, or whose worker is gone; how many."""
    done = conn.execute(_ENQUEUE_LOST, (source_id,))
    return done.rowcount


def enqueue_item(conn: Connection[Any], item_id: int) -> None:
    """Put the job that ingests an item into the queue, unless one waits."""
    conn.execute(
        "select lode_api.enqueue('ingest', 'ingest_item', %s, %s)",
        (Jsonb({"ingest_item_id": item_id}), f"item {item_id}"),
    )


def waiting_items(conn: Connection[Any], source_id: int) -> list[int]:
    """Items of a source to be ingested by hand, oldest acquisition first: those that wait, or were left."""
    rows = conn.execute(
        "select i.ingest_item_id from lode.ingest_item i where i.ingest_source_id = %s"  # noqa: S608 - constants
        f" and (i.status = 'found' or (i.status in ('fetching', 'fetched') and {IS_UNHEARD}"
        f" and not {IS_HELD})) order by i.acquired_on nulls last, i.ingest_item_id",
        (source_id,),
    ).fetchall()
    return [row[0] for row in rows]


def source_of_item(conn: Connection[Any], item_id: int) -> tuple[int, str] | None:
    """Key of an item's source, and the item's status; None: there is no such item any more."""
    row = conn.execute(
        "select ingest_source_id, status from lode.ingest_item where ingest_item_id = %s", (item_id,)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def claim_item(conn: Connection[Any], item_id: int, *, is_by_hand: bool = False) -> Claim | None:
    """Begin an attempt under a new token; None where nothing is left to do.

    An item whose attempts all ended with their worker fails here. Whoever ingests by hand takes none that
    another process is at, or may be: the queue gives an item to a second worker only when the first is gone.
    """
    if is_by_hand and _may_be_held(conn, item_id):
        return None
    conn.execute(
        "update lode.ingest_item set status = 'failed', error = coalesce(error || '; ', '') ||"
        " 'given up: its workers died in all of ' || attempt || ' attempts'"
        " where ingest_item_id = %s and status in ('found', 'fetching', 'fetched') and attempt >= %s",
        (item_id, ATTEMPTS),
    )
    row = conn.execute(
        "update lode.ingest_item set status = 'fetching', attempt = attempt + 1, token = %s,"
        " started_at = clock_timestamp(), updated_at = clock_timestamp()"
        " where ingest_item_id = %s and status in ('found', 'fetching', 'fetched')"
        " returning ingest_item_id, ingest_source_id, item_key, mark, href, attempt, token",
        (uuid4(), item_id),
    ).fetchone()
    if row is None:
        return None
    # An attempt that was given up may still hold the scene's locks: its process was stopped, or its network.
    end_sessions(conn, storing_name(item_id))
    return Claim(*row)


def _may_be_held(conn: Connection[Any], item_id: int) -> bool:
    """Whether a process is, or may be, at an item, whose row this transaction holds from now on."""
    row = conn.execute(
        f"select i.status in ('fetching', 'fetched') and not ({IS_UNHEARD} and not {IS_HELD})"  # noqa: S608
        " from lode.ingest_item i where i.ingest_item_id = %s for no key update of i",
        (item_id,),
    ).fetchone()
    return bool(row and row[0])


def storing_name(item_id: int) -> str:
    """Name of the connection that stores an item, by which the next attempt finds and ends it."""
    return f"lode item {item_id}"


def working_name(item_id: int) -> str:
    """Name of the connection that whoever is at an item keeps, by which others see it."""
    return f"lode item {item_id} at work"


def token_of_item(conn: Connection[Any], item_id: int) -> UUID | None:
    """The token of the attempt at an item that is under way; None: nobody is at it."""
    row = conn.execute(
        "select token from lode.ingest_item where ingest_item_id = %s and status in ('fetching', 'fetched')",
        (item_id,),
    ).fetchone()
    return None if row is None else row[0]


def note_fetched(conn: Connection[Any], claim: Claim, fetched_bytes: int, *, is_all: bool = False) -> None:
    """Write down how much lies here.

    Raises:
        SupersededError: the item was given to another worker.

    """
    done = conn.execute(
        "update lode.ingest_item set fetched_bytes = %s, updated_at = clock_timestamp(),"
        " status = case when %s then 'fetched' else status end"
        " where ingest_item_id = %s and token = %s and status in ('fetching', 'fetched')",
        (fetched_bytes, is_all, claim.ingest_item_id, claim.token),
    )
    if done.rowcount == 0:
        raise SupersededError(f"item {claim.ingest_item_id} was given to another worker, or removed")


def release_item(conn: Connection[Any], item_id: int, token: UUID) -> None:
    """Give an attempt back that was not the item's fault, unless there is a newer one."""
    conn.execute(
        "update lode.ingest_item set status = 'found', attempt = attempt - 1"
        " where ingest_item_id = %s and token = %s and status in ('fetching', 'fetched')",
        (item_id, token),
    )


def end_attempt(conn: Connection[Any], claim: Claim, error: str, *, is_final: bool) -> None:
    """Write down why an attempt failed; says nothing where a newer one has begun."""
    conn.execute(
        "update lode.ingest_item set status = %s, error = %s"
        " where ingest_item_id = %s and token = %s and status in ('fetching', 'fetched')",
        (
            "failed" if is_final else "found",
            printable(error)[:LONGEST_ERROR],
            claim.ingest_item_id,
            claim.token,
        ),
    )


def skip_item(conn: Connection[Any], claim: Claim, reason: str, facts: Facts) -> None:
    """Write down that an item is not wanted, now that more is known of it."""
    conn.execute(
        "update lode.ingest_item set status = 'skipped', error = %s,"
        " acquired_on = coalesce(%s, acquired_on), footprint = coalesce(%s::geometry, footprint),"
        " cloud_fraction = coalesce(%s, cloud_fraction)"
        " where ingest_item_id = %s and token = %s and status in ('fetching', 'fetched')",
        (
            printable(reason)[:LONGEST_ERROR],
            facts.acquired_on,
            None if facts.footprint is None else ewkb_hex(facts.footprint),
            facts.cloud_fraction,
            claim.ingest_item_id,
            claim.token,
        ),
    )


def finish_item(
    conn: Connection[Any], claim: Claim, source: IngestSource, scene_id: int, sha256: str
) -> int | None:
    """Mark an item as ingested and ask for its interpretation, in the transaction that stored its scene.

    Returns:
        Key of the run; None where the source has no network, or the quota of whoever ordered it is used up:
        then the item waits, and says so.

    Raises:
        SupersededError: the item was given to another worker; the caller rolls everything back.

    """
    row = conn.execute(
        "select from lode.ingest_item where ingest_item_id = %s and token = %s"
        " and status in ('fetching', 'fetched') for update",
        (claim.ingest_item_id, claim.token),
    ).fetchone()
    if row is None:
        raise SupersededError(f"item {claim.ingest_item_id} was given to another worker, or removed")
    run_id, waits = None, None
    if source.model_id is not None:
        run_id, waits = request_run(conn, claim.ingest_source_id, scene_id, source)
    follow_run(conn, claim.ingest_item_id, run_id, waits)
    conn.execute(
        "update lode.ingest_item i set scene_id = s.scene_id, sha256 = %s, ingested_at = clock_timestamp(),"
        " footprint = s.footprint from lode.scene s where s.scene_id = %s and i.ingest_item_id = %s",
        (sha256, scene_id, claim.ingest_item_id),
    )
    return run_id


def count_by_status(conn: Connection[Any], source_id: int) -> dict[str, int]:
    """How many items of a source are how far."""
    rows: Sequence[Any] = conn.execute(
        "select status, count(*) from lode.ingest_item where ingest_source_id = %s group by 1 order by 1",
        (source_id,),
    ).fetchall()
    return {status: int(count) for status, count in rows}
