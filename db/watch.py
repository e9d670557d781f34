"""What the service does at this moment: jobs, workers, runs with their progress, failures of the last day.

`lode status --watch` shows it, and workers export its counts as metrics. Everything is read in one
transaction, which sees one moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from alembic.script import ScriptDirectory
from psycopg import Connection

from db.api import api_files, installed_api
from db.connection import read_as_of_now
from db.errors import OutdatedError, UsageError
from db.queue.schema import queue_faults
from db.upgrade import alembic_config, newer_schema

ALIVE_S = 60
"""A worker that was heard of within so many seconds is alive; what a silent one does is given to another."""


@dataclass(frozen=True)
class JobCount:
    """Jobs of one kind.

    Attributes:
        queue, task: names.
        status: todo, doing, failed, cancelled or aborted; those that succeeded are not counted.
        jobs: how many.

    """

    queue: str
    task: str
    status: str
    jobs: int


@dataclass(frozen=True)
class WorkerState:
    """A worker that registered.

    Attributes:
        worker_id: key.
        host, process_id, device, queues: where it is, what it computes on, what it takes work from.
        heartbeat_s: seconds since it was heard of; None: its heartbeat was swept.
        is_alive: it was heard of within a minute.
        job_id, task, run_id: what it works on; None: nothing, or no run.

    """

    worker_id: int
    host: str
    process_id: int
    device: str
    queues: tuple[str, ...]
    heartbeat_s: float | None
    is_alive: bool
    job_id: int | None
    task: str | None
    run_id: int | None


@dataclass(frozen=True)
class RunState:
    """A run that runs, or the part of one that a worker has.

    Attributes:
        run_id, product, model: what is interpreted, and by which network.
        attempt: attempt of the block, else of the run.
        block: strip of the scene, from 0 at the top; None: nobody has a part of it at this moment.
        blocks, blocks_staged: parts in all, and those that are computed and wait for publication.
        stage: what its worker does (classifying, storing polygons, ...).
        done, total: units of the stage; 0 in all: not known.
        worker: who does it.
        started_at: start of the attempt.

    """

    run_id: int
    product: str
    model: str
    attempt: int
    block: int | None
    blocks: int
    blocks_staged: int
    stage: str | None
    done: int
    total: int
    worker: str | None
    started_at: datetime | None


@dataclass(frozen=True)
class Failure:
    """A run or an item that failed in the last 24 hours."""

    what: str
    reason: str
    failed_at: datetime | None


@dataclass(frozen=True)
class Snapshot:
    """All of it at one moment.

    Attributes:
        at: the server's clock.
        jobs: jobs by queue, task and status.
        waiting_s: how long the first of those that wait has been due, in seconds, by queue.
        workers, running, failures: see there; running runs in the order of their keys.
        runs: number of runs by status.
        attempts: number of runs that run, by attempt: the highest of their own and of their blocks at work.
        staged_bytes: size of what waits for publication, bytes.

    """

    at: datetime
    jobs: tuple[JobCount, ...]
    waiting_s: dict[str, float]
    workers: tuple[WorkerState, ...]
    running: tuple[RunState, ...]
    failures: tuple[Failure, ...]
    runs: dict[str, int]
    attempts: dict[int, int]
    staged_bytes: int

    @property
    def workers_alive(self) -> int:
        """How many workers live."""
        return sum(worker.is_alive for worker in self.workers)


_JOBS = """
select queue_name::text, task_name::text, status::text, count(*)
from lode_queue.procrastinate_jobs
where status <> 'succeeded'
group by 1, 2, 3
order by 1, 2, 3
"""

# The first of those that wait has the lowest number. Since when: its last event, or when it was due.
_WAITING = """
select w.queue, greatest(extract(epoch from now() - greatest(j.scheduled_at, (
  select max(e.at) from lode_queue.procrastinate_events e where e.job_id = j.id
))), 0)::float
from (
  select queue_name::text as queue, min(id) as first_id
  from lode_queue.procrastinate_jobs
  where status = 'todo' and coalesce(scheduled_at, '-infinity') <= now()
  group by 1
) w
join lode_queue.procrastinate_jobs j on j.id = w.first_id
order by 1
"""

_WORKERS = """
select w.worker_id, w.host, w.process_id, w.device, w.queues,
  extract(epoch from now() - p.last_heartbeat)::float,
  coalesce(p.last_heartbeat > now() - make_interval(secs => %s), false),
  j.id, j.task_name::text, (j.args ->> 'run_id')::integer
from lode.worker w
left join lode_queue.procrastinate_workers p on p.id = w.worker_id
left join lateral (
  select id, task_name, args from lode_queue.procrastinate_jobs
  where worker_id = w.worker_id and status = 'doing'
  order by id
  limit 1
) j on true
order by w.worker_id
"""

_RUNNING = """
select r.run_id, s.product, m.name, case b.status when 'running' then b.attempt else r.attempt end,
  case b.status when 'running' then b.block end, c.blocks, c.staged, b.stage, coalesce(b.done, 0),
  coalesce(b.total, 0), coalesce(b.worker, r.device), coalesce(b.started_at, r.started_at)
from lode.run r
join lode.scene s using (scene_id)
join lode.model m using (model_id)
cross join lateral (
  select count(*)::integer as blocks, count(*) filter (where x.status = 'staged')::integer as staged
  from lode.run_block x where x.run_id = r.run_id
) c
left join lode.run_block b on b.run_id = r.run_id and (b.status = 'running' or b.block = 0 and not exists (
  select from lode.run_block y where y.run_id = r.run_id and y.status = 'running'
))
where r.status = 'running' or (r.status = 'requested' and b.status = 'running')
order by 1, 5
"""

_FAILURES = """
select format('run %s of scene %s', r.run_id, s.product), coalesce(r.error, 'no reason is recorded'),
  r.finished_at
from lode.run r
join lode.scene s using (scene_id)
where r.status = 'failed' and r.finished_at > now() - interval '1 day'
union all
select format('item %s of source %s', i.item_key, c.name), coalesce(i.error, 'no reason is recorded'),
  i.updated_at
from lode.ingest_item i
join lode.ingest_source c using (ingest_source_id)
where i.status = 'failed' and i.updated_at > now() - interval '1 day'
order by 3 desc, 1
limit 100
"""

_ATTEMPTS = """
select greatest(r.attempt, (
  select max(b.attempt) from lode.run_block b where b.run_id = r.run_id and b.status = 'running'
)), count(*)
from lode.run r
where r.status = 'running'
group by 1
order by 1
"""

_STAGED = """
select coalesce(sum(pg_column_size(class_map)::bigint + pg_column_size(probability)), 0)::bigint
from lode.run_stage
"""


def take_snapshot(conn: Connection[Any]) -> Snapshot:
    """Read it all in a transaction of its own.

    Args:
        conn: connection outside a transaction, not in autocommit mode.

    """
    with conn.transaction():
        read_as_of_now(conn)
        now = conn.execute("select now()").fetchone()
        if now is None:
            raise RuntimeError("the server has no clock")
        running = tuple(RunState(*row) for row in conn.execute(_RUNNING))
        statuses = conn.execute("select status, count(*) from lode.run group by 1").fetchall()
        attempts = conn.execute(_ATTEMPTS).fetchall()
        staged = conn.execute(_STAGED).fetchone()
        return Snapshot(
            at=now[0],
            jobs=tuple(JobCount(*row) for row in conn.execute(_JOBS)),
            waiting_s=dict(conn.execute(_WAITING).fetchall()),
            workers=tuple(_worker(row) for row in conn.execute(_WORKERS, (ALIVE_S,))),
            running=running,
            failures=tuple(Failure(*row) for row in conn.execute(_FAILURES.encode())),
            runs=dict(statuses),
            attempts=dict(attempts),
            staged_bytes=int(staged[0]) if staged else 0,
        )


def _worker(row: Sequence[Any]) -> WorkerState:
    worker_id, host, process_id, device, queues, *rest = row
    return WorkerState(worker_id, host, process_id, device, tuple(queues), *rest)


@dataclass(frozen=True)
class _OwnVersion:
    """What the code of this process was made for."""

    revision: str | None
    revisions: frozenset[str]
    api: list[tuple[str, str, str]]

    @property
    def api_sha256(self) -> str:
        """Digest of the digests of all files, in their order."""
        return hashlib.sha256("".join(digest for _kind, _name, digest in self.api).encode()).hexdigest()


@cache
def _own_version() -> _OwnVersion:
    # Read once: a newer version may be installed over the files of a process that runs.
    scripts = ScriptDirectory.from_config(alembic_config())
    return _OwnVersion(
        scripts.get_current_head(),
        frozenset(script.revision for script in scripts.walk_revisions()),
        [(file.kind, file.name, file.sha256) for file in api_files()],
    )


def require_current(conn: Connection[Any]) -> None:
    """Refuse a database of another version of Lode: its rules, and what a worker writes, may differ.

    A worker calls it when it starts and whenever it has connected again: an upgrade may have come between.

    Args:
        conn: connection; only reads.

    Raises:
        UsageError: the database is older or newer than this Lode, or has none.

    """
    row = conn.execute("select to_regclass('lode.alembic_version') is not null").fetchone()
    found = None
    if row is not None and row[0]:
        version = conn.execute("select version_num from lode.alembic_version").fetchone()
        found = version[0] if version else None
    own = _own_version()
    if found is None:
        raise UsageError("this database holds no Lode: run `lode db upgrade`")
    if found != own.revision:
        if found in own.revisions:
            raise UsageError(
                f"the database's schema is at {found}, this Lode needs {own.revision}: run `lode db upgrade`"
            )
        raise newer_schema(found, own.revision)
    with conn.cursor() as cursor:
        if installed_api(cursor) != own.api:
            raise UsageError(
                "lode_api in the database was made by another version of Lode: install that version on this "
                "machine, or run `lode db upgrade` if this one is newer"
            )
    faults = queue_faults(conn)
    if faults:
        raise UsageError(f"{faults[0]}; run `lode db upgrade`, or install this database's version of Lode")


def require_unchanged(conn: Connection[Any]) -> None:
    """Refuse a database that was upgraded while this process worked, by one small query.

    Called in a transaction that holds a row of ``lode.run``, it stays true to the end of that: an upgrade
    waits for the lock.

    Raises:
        OutdatedError: see ``require_current``.

    """
    row = conn.execute(
        "select v.version_num, ("
        "  select encode(sha256(string_agg(a.sha256, '' order by a.position)::bytea), 'hex')"
        "  from lode.api_object a"
        ") from lode.alembic_version v"
    ).fetchone()
    own = _own_version()
    if row == (own.revision, own.api_sha256):
        return
    try:
        require_current(conn)
    except UsageError as error:
        raise OutdatedError(f"{error}; nothing was stored, and the work was given back") from error
