"""Checks of work: runs nobody computes, jobs nobody does, what was left in staging."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.checks.result import Check, Found, Limits, bytes_in_words, seconds_in_words
from db.runs import RUN_LOCK

# A run is computed by `lode infer`, which holds its advisory lock, or by a worker, which has a job of it.
_LOST_RUNS = """
select r.run_id, r.status, coalesce(r.started_at, r.requested_at)
from lode.run r
where (r.status = 'running' or r.status = 'requested' and r.requested_at < now() - interval '1 hour')
  and not exists (
    select from pg_locks l
    where l.locktype = 'advisory' and l.classid = %s and l.objid = r.run_id and l.objsubid = 2
      and l.database = (select oid from pg_database where datname = current_database())
  )
  and not exists (
    select from lode_queue.procrastinate_jobs j
    where j.status in ('todo', 'doing') and (j.args ->> 'run_id')::integer = r.run_id
  )
order by 1
"""


def _lost_runs(conn: Connection[Any], _limits: Limits) -> Found:
    found = Found()
    for run_id, status, since in conn.execute(_LOST_RUNS, (RUN_LOCK,)):
        if status == "running":
            said = f"run {run_id}, started {since:%Y-%m-%d %H:%M}, has no worker any more, and no job"
            found.faults.append(said)
        else:
            found.warnings.append(f"run {run_id}, asked for {since:%Y-%m-%d %H:%M}, has no job")
    return found


# A worker does one job at a time: of two, the one that was begun first is done by nobody.
_STUCK = """
select j.id, j.task_name::text, j.queue_name::text, extract(epoch from now() - w.last_heartbeat)::float,
  w.last_heartbeat >= now() - make_interval(secs => %(stuck_s)s)
from lode_queue.procrastinate_jobs j
left join lode_queue.procrastinate_workers w on w.id = j.worker_id
cross join lateral (
  select coalesce(max(e.at), '-infinity') as at
  from lode_queue.procrastinate_events e
  where e.job_id = j.id and e.type = 'started'
) begun
where j.status = 'doing'
  and (
    w.id is null
    or w.last_heartbeat < now() - make_interval(secs => %(stuck_s)s)
    or exists (
      select from lode_queue.procrastinate_jobs o
      join lode_queue.procrastinate_events e on e.job_id = o.id and e.type = 'started'
      where o.worker_id = j.worker_id and o.status = 'doing' and o.id <> j.id and e.at > begun.at
    )
  )
  -- One whose worker was swept a moment ago is still to be given to another.
  and begun.at < now() - make_interval(secs => %(stuck_s)s)
order by j.id
"""


def _stuck(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    for job_id, task, queue, silent_s, is_heard in conn.execute(_STUCK, {"stuck_s": limits.stuck_s}):
        if is_heard:
            who = "lives, and went on to another job: stop that worker, and its jobs are given to others"
        else:
            who = "is gone" if silent_s is None else f"has been silent for {seconds_in_words(silent_s)}"
        found.faults.append(f"job {job_id} ({task} in queue {queue}) is stuck: its worker {who}")
    return found


# The first of those that wait in a queue has the lowest number. Since when: its arrival, or when it was due.
_WAITING = """
with waiting as materialized (
  select j.queue_name::text as queue, count(*) as jobs, min(j.id) as first_id
  from lode_queue.procrastinate_jobs j
  where j.status = 'todo' and coalesce(j.scheduled_at, '-infinity') <= now()
  group by 1
)
select w.queue, w.jobs,
  extract(epoch from now() - greatest(j.scheduled_at, (
    select max(e.at) from lode_queue.procrastinate_events e where e.job_id = j.id
  )))::float as waiting_s,
  exists (
    select from lode.worker k
    join lode_queue.procrastinate_workers p on p.id = k.worker_id
    where w.queue = any (k.queues) and p.last_heartbeat >= now() - make_interval(secs => %s)
  ) as has_worker
from waiting w
join lode_queue.procrastinate_jobs j on j.id = w.first_id
order by 1
"""


def _waiting(conn: Connection[Any], limits: Limits) -> Found:
    found = Found()
    unattended_s, attended_s = limits.waiting_s
    for queue, jobs, waiting_s, has_worker in conn.execute(_WAITING, (limits.stuck_s,)):
        if waiting_s is None or waiting_s < (attended_s if has_worker else unattended_s):
            continue
        said = f"queue {queue}: {jobs} jobs wait, the first of them for {seconds_in_words(waiting_s)}"
        if has_worker:
            found.warnings.append(f"{said}; its workers are too few, or one job takes that long")
        else:
            found.faults.append(f"{said}, and no worker that lives takes from it")
    return found


# Of jobs of a failed run the run is told. Arguments are keys only, but only those that are known are shown.
# A job whose worker went silent has failed, and another one has its work: nothing is told once that is done.
_FAILED = """
select
  format('run %%s of scene %%s failed %%s: %%s', r.run_id, s.product,
    to_char(r.finished_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
    coalesce(r.error, 'no reason is recorded'))
from lode.run r
join lode.scene s using (scene_id)
where r.status = 'failed' and r.finished_at > now() - make_interval(secs => %(recent_s)s)
union all
select
  format('job %%s (%%s%%s) failed %%s: %%s', j.id, j.task_name, (
    select ' of ' || string_agg(format('%%s %%s', replace(a.key, '_id', ''), a.value), ', ' order by a.key)
    from jsonb_each_text(j.args) as a
    where a.key in ('run_id', 'block', 'ingest_source_id', 'ingest_item_id')
  ), to_char(e.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), case
    when exists (
      select from lode_queue.procrastinate_jobs n
      where n.id > j.id and n.queueing_lock = j.queueing_lock
        and (n.args ->> 'reaped')::integer > coalesce((j.args ->> 'reaped')::integer, 0)
    ) then 'its worker was not heard of any more'
    else coalesce(r.error, i.error, 'its worker was not heard of any more, or its log has the reason')
  end)
from lode_queue.procrastinate_jobs j
left join lode.run r on r.run_id = (j.args ->> 'run_id')::integer
left join lode.ingest_item i on i.ingest_item_id = (j.args ->> 'ingest_item_id')::bigint
cross join lateral (
  select max(x.at) as at from lode_queue.procrastinate_events x where x.job_id = j.id and x.type = 'failed'
) as e
where j.status = 'failed' and e.at > now() - make_interval(secs => %(recent_s)s)
  and (r.status is null or r.status in ('requested', 'running'))
  and (i.status is null or i.status in ('found', 'fetching', 'fetched'))
  and not exists (
    select from lode.run_block b
    where b.run_id = r.run_id and b.block = (j.args ->> 'block')::integer and b.status = 'staged'
  )
  and not exists (
    select from lode.ingest_source c
    where c.ingest_source_id = (j.args ->> 'ingest_source_id')::integer and j.task_name = 'scan_source'
      and c.last_scan_at > e.at
  )
  and not exists (
    select from lode_queue.procrastinate_jobs n
    where n.id > j.id and n.queueing_lock = j.queueing_lock and n.status = 'succeeded'
  )
union all
select
  format('item %%s of source %%s failed %%s: %%s', i.item_key, c.name,
    to_char(i.updated_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'),
    coalesce(i.error, 'no reason is recorded'))
from lode.ingest_item i
join lode.ingest_source c using (ingest_source_id)
where i.status = 'failed' and i.updated_at > now() - make_interval(secs => %(recent_s)s)
union all
select format('source %%s cannot be looked through: %%s', c.name, c.last_error)
from lode.ingest_source c
where c.enabled and c.last_error is not null
order by 1
"""


def _failed(conn: Connection[Any], limits: Limits) -> Found:
    rows = conn.execute(_FAILED, {"recent_s": limits.recent_s})
    return Found(warnings=[said.split("\n")[0] for (said,) in rows])


_STAGED = """
select s.run_id, coalesce(r.status, 'gone'), count(*),
  sum(pg_column_size(s.class_map) + pg_column_size(s.probability))::bigint
from lode.run_stage s
left join lode.run r on r.run_id = s.run_id
where r.status is null or r.status not in ('requested', 'running')
group by 1, 2
order by 1
"""


def _staged(conn: Connection[Any], _limits: Limits) -> Found:
    return Found(
        [
            f"run {run_id} is {status}, but {rows} pieces of it ({bytes_in_words(size)}) were left in staging"
            for run_id, status, rows, size in conn.execute(_STAGED)
        ]
    )


CHECKS = (
    Check("No run was left half done", "ask for it again: `lode infer` for its scene and model", _lost_runs),
    Check(
        "No job is stuck",
        "start a worker (`lode worker`): it gives jobs of the dead to the living within a minute",
        _stuck,
    ),
    Check("No job waits for long", "start workers that take from this queue, or cancel its jobs", _waiting),
    Check(
        "Nothing failed lately",
        "mend the reason, then ask for it again; see docs/operations.md, Failed runs",
        _failed,
    ),
    Check(
        "Nothing is left in staging",
        "delete from lode.run_stage where run_id = <run>",
        _staged,
    ),
)
