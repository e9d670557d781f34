-- Purpose: put a job into the queue; of those with the same key at most one waits.
-- Rules: arguments are keys of rows, never secrets, addresses or paths: logs show them. Null comes back where a job
--   with that key waits already; one that is being worked on does not keep another from waiting.
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
language plpgsql security definer
set search_path = lode_queue, pg_catalog, pg_temp
as $$
declare
  job_id bigint;
begin
  select unnest(procrastinate_defer_jobs_v1(array[
    row(queue, task, priority, null, collapse_key, args, run_at)::procrastinate_job_to_defer_v1
  ])) into job_id;
  return job_id;
exception when unique_violation then
  return null;
end
$$;

comment on function lode_api.enqueue(text, text, jsonb, text, integer, timestamptz) is
  'Put a job into the queue; null where one with the same key waits already.';
