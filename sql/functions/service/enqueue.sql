-- Purpose: put a job into the queue; of those with the same key at most one waits.
-- Rules: arguments are keys of rows, never secrets, addresses or paths: logs show them. Null comes back where a job
--   with that key waits already; one that is being worked on does not keep another from waiting.
--   What looks for scenes, brings them in and reports goes before interpretations, of which there may be thousands.
-- Used by: the functions and triggers of the service; workers.
create function lode_api.enqueue(
  queue text,
  task text,
  args jsonb,
  collapse_key text default null,
  priority integer default 0,
  run_at timestamptz default null
)
returns bigint
language sql security definer
set search_path = lode_queue, pg_catalog, pg_temp
as $$
  -- Not through procrastinate's function: what its unique index refuses there would need a subtransaction here.
  insert into lode_queue.procrastinate_jobs (queue_name, task_name, args, queueing_lock, priority, scheduled_at)
  values (
    queue, task, args, collapse_key,
    case queue when 'inference' then coalesce(priority, 0) else greatest(priority, 10) end, run_at
  )
  on conflict (queueing_lock) where status = 'todo'::lode_queue.procrastinate_job_status do nothing
  returning id
$$;

comment on function lode_api.enqueue(text, text, jsonb, text, integer, timestamptz) is
  'Put a job into the queue; null where one with the same key waits already.';
