-- Purpose: give the work of workers that went silent to others, and sweep what nobody needs any more.
-- Units: seconds since a heartbeat, days.
-- Rules: one worker at a time does it (advisory lock; null: another does). While the server runs no longer than
--   that silence, nobody is taken for dead: they could not be heard. A job whose worker went silent ends as
--   failed, and a new one with the same work takes its place: should the worker come back, it can end its own job
--   only. Attempts are counted, and ended, where the work begins (run, run_block, ingest_item); work that has no such
--   row is given up after ten jobs. A run in the queue that lost its job, by whatever accident, gets a new one. A job
--   that has ended refers to no worker, so that a worker's row is deleted without touching what it did.
-- Used by: a loop in every worker.
create function lode_api.reap_jobs(silent_s double precision, kept_days integer default 30) returns integer
language plpgsql security definer
set search_path = lode, lode_queue, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  job record;
  reaped integer := 0;
  lost integer;
begin
  if not pg_try_advisory_xact_lock(x'10DE0004'::bigint) then
    return null;
  end if;
  if pg_postmaster_start_time() > clock_timestamp() - make_interval(secs => silent_s) then
    return 0;
  end if;
  for job in
    select j.id, j.queue_name, j.task_name, j.args, j.queueing_lock, j.priority, j.attempts, j.abort_requested
    from procrastinate_jobs j
    left join procrastinate_workers w on w.id = j.worker_id
    left join lode.worker o on o.worker_id = j.worker_id
    where j.status = 'doing'
      and (
        w.id is null
        -- as long as either of the two says: one impatient worker must not take the others for dead
        or w.last_heartbeat < clock_timestamp() - make_interval(secs => greatest(silent_s, o.silent_s))
      )
    order by j.id
    for update of j skip locked
  loop
    update procrastinate_jobs j
    set status = 'failed', abort_requested = false, attempts = job.attempts + 1, worker_id = null
    where j.id = job.id;
    -- Whoever holds the run's row may wait for this job's: nobody waits for both.
    update lode.run r
    set error = 'its worker was not heard of any more'
    where r.run_id in (
      select o.run_id
      from lode.run o
      where o.run_id = (job.args ->> 'run_id')::integer and o.status in ('requested', 'running')
      for no key update skip locked
    );
    if not job.abort_requested and coalesce((job.args ->> 'reaped')::integer, 0) < 10 then
      perform lode_api.enqueue(
        job.queue_name, job.task_name,
        job.args || jsonb_build_object('reaped', coalesce((job.args ->> 'reaped')::integer, 0) + 1),
        job.queueing_lock, job.priority
      );
    end if;
    reaped := reaped + 1;
  end loop;
  -- Queues of earlier versions have jobs that ended and refer to their workers. In portions: a statement beyond the
  -- workers' timeout would undo all of the above, each time anew.
  update procrastinate_jobs j set worker_id = null
  where j.id = any (array(
    select o.id
    from procrastinate_jobs o
    where o.worker_id is not null and o.status in ('succeeded', 'failed', 'cancelled', 'aborted')
    order by o.worker_id
    limit 10000
    for update of o skip locked
  ));
  -- Whoever ends just now holds its own row and waits for those of its jobs. One to which jobs still refer goes later.
  delete from procrastinate_workers w
  where w.id in (
    select o.id
    from procrastinate_workers o
    left join lode.worker l on l.worker_id = o.id
    where o.last_heartbeat < clock_timestamp() - make_interval(secs => greatest(silent_s, l.silent_s))
      and (select j.id from procrastinate_jobs j where j.worker_id = o.id order by j.worker_id limit 1) is null
    for update of o skip locked
  );
  delete from lode.worker w
  where not exists (select from procrastinate_workers p where p.id = w.worker_id);
  -- The rest looks at every run that waits: once a minute is enough, however many workers there are.
  update lode.sweep w set swept_at = clock_timestamp()
  where w.swept_at < clock_timestamp() - make_interval(secs => least(60, silent_s));
  if not found then
    return reaped;
  end if;
  for lost in
    select r.run_id
    from lode.run r
    where r.status in ('requested', 'running')
      and r.queued_at < clock_timestamp() - make_interval(secs => least(60, silent_s))
      -- looked up run by run: a queue that was just filled has no statistics, and a join reads all for each
      and (
        select j.id
        from procrastinate_jobs j
        where j.status in ('todo', 'doing')
          and j.queueing_lock = any (array(
            select format('run %s', r.run_id)
            union all
            select format('block %s of run %s', b.block, b.run_id) from lode.run_block b where b.run_id = r.run_id
          ))
        limit 1
      ) is null
    order by r.run_id
    for no key update of r skip locked -- one that is being published by hand is locked for minutes
  loop
    reaped := reaped + lode_api.put_in_queue(lost);
  end loop;
  -- Whoever computes for themselves (`lode infer`, a campaign) holds an advisory lock as long as they live. They lose
  -- it when the server restarts, and take it again at their next beat.
  for lost in
    select r.run_id
    from lode.run r
    where r.status = 'running' and r.queued_at is null
      and greatest(r.started_at, pg_postmaster_start_time()) < clock_timestamp() - interval '5 minutes'
    order by r.run_id
    for no key update of r skip locked
  loop
    if pg_try_advisory_lock(x'10DE0002'::integer, lost) then
      perform pg_advisory_unlock(x'10DE0002'::integer, lost);
      update lode.run r
      set status = 'failed', finished_at = clock_timestamp(),
        error = 'the process that computed it ended without a word: ask for it again'
      where r.run_id = lost;
    end if;
  end loop;
  -- Whoever asks anew, or cancels, holds the run and these rows, and may wait for a run that is held here. The run is
  -- locked with them: one that is asked for again meanwhile keeps what was staged.
  delete from lode.run_stage s
  where (s.run_id, s.block, s.row_px) in (
    select o.run_id, o.block, o.row_px
    from lode.run_stage o
    join lode.run r on r.run_id = o.run_id
    where r.status not in ('requested', 'running')
    for no key update of r skip locked
    for update of o skip locked
  );
  update lode.run_block b set status = 'waiting'
  where (b.run_id, b.block) in (
    select o.run_id, o.block
    from lode.run_block o
    join lode.run r on r.run_id = o.run_id
    where r.status in ('failed', 'cancelled') and o.status = 'staged'
    for no key update of r skip locked
    for no key update of o skip locked
  );
  delete from procrastinate_jobs j
  where j.id in (
    select o.id
    from (
      select f.id
      from procrastinate_jobs f
      where f.status in ('succeeded', 'failed', 'cancelled', 'aborted')
      order by f.id
      limit 1000
    ) as o
    where (select max(e.at) from procrastinate_events e where e.job_id = o.id)
      < now() - make_interval(days => kept_days)
  );
  return reaped;
end
$$;

comment on function lode_api.reap_jobs(double precision, integer) is
  'Give the jobs of workers that were silent for so many seconds to others, and sweep; how many, null: another does.';
