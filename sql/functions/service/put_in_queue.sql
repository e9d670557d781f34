-- Purpose: put the jobs of a run into the queue: one for each block that is not staged, or the one that publishes.
-- Rules: a run with one block has one job, which computes and publishes. Nothing happens to a run that is neither
--   requested nor running, that `lode infer` is computing (it holds an advisory lock), or whose jobs wait or run.
-- Used by: lode_api.request_inference, request_mine, finish_block, reap_jobs, sources.
create function lode_api.put_in_queue(run_id integer, priority integer default 0) returns integer
language plpgsql security definer
set search_path = lode, lode_queue, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  blocks integer;
  jobs integer := 0;
  block integer;
  key text;
begin
  perform from lode.run r
  where r.run_id = put_in_queue.run_id and r.status in ('requested', 'running')
  for update;
  if not found or not pg_try_advisory_lock(x'10DE0002'::integer, run_id) then
    return 0;
  end if;
  perform pg_advisory_unlock(x'10DE0002'::integer, run_id); -- only to see that nobody holds it
  update lode.run r set queued_at = clock_timestamp()
  where r.run_id = put_in_queue.run_id and r.queued_at is null;
  select count(*) into blocks from lode.run_block b where b.run_id = put_in_queue.run_id;
  if blocks > 1 then
    for block in
      select b.block from lode.run_block b
      where b.run_id = put_in_queue.run_id and b.status <> 'staged'
      order by b.block
    loop
      key := format('block %s of run %s', block, run_id);
      continue when exists (
        select from procrastinate_jobs j where j.queueing_lock = key and j.status in ('todo', 'doing') and not j.abort_requested
      );
      if lode_api.enqueue(
        'inference', 'interpret_block', jsonb_build_object('run_id', run_id, 'block', block), key, priority
      ) is not null then
        jobs := jobs + 1;
      end if;
    end loop;
    if exists (
      select from lode.run_block b where b.run_id = put_in_queue.run_id and b.status <> 'staged'
    ) then
      return jobs;
    end if;
  end if;
  key := format('run %s', run_id);
  -- A higher priority than other runs' blocks: what is staged takes room until it is published.
  if not exists (
    select from procrastinate_jobs j where j.queueing_lock = key and j.status in ('todo', 'doing') and not j.abort_requested
  ) and lode_api.enqueue(
    'inference', 'interpret_run', jsonb_build_object('run_id', run_id), key,
    priority + case when blocks > 1 then 1 else 0 end
  ) is not null then
    jobs := jobs + 1;
  end if;
  return jobs;
end
$$;

comment on function lode_api.put_in_queue(integer, integer) is
  'Put the jobs of a run into the queue; how many were put there.';
