-- Purpose: put the jobs of a run into the queue: one for each block that is not staged, or the one that publishes.
-- Rules: a run with one block has one job, which computes and publishes. Nothing happens to a run that is neither
--   requested nor running, or whose jobs wait or run. One that `lode infer` or a campaign is computing (it holds an
--   advisory lock) is marked only: should it be left undone, lode_api.reap_jobs puts it into the queue.
--   Where no priority is said, the run's newest job says it, ended or not. The scene's name is for the logs.
-- Used by: lode_api.request_inference, request_mine, finish_block, reap_jobs, sources.
create function lode_api.put_in_queue(run_id integer, priority integer default null) returns integer
language plpgsql security definer
set search_path = lode, lode_queue, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  blocks integer;
  jobs integer := 0;
  block integer;
  key text;
  keys text[];
  work jsonb;
begin
  perform from lode.run r
  where r.run_id = put_in_queue.run_id and r.status in ('requested', 'running')
  for no key update;
  if not found then
    return 0;
  end if;
  update lode.run r set queued_at = clock_timestamp()
  where r.run_id = put_in_queue.run_id and r.queued_at is null;
  if not pg_try_advisory_lock(x'10DE0002'::integer, run_id) then
    return 0;
  end if;
  perform pg_advisory_unlock(x'10DE0002'::integer, run_id); -- only to see that nobody holds it
  select jsonb_build_object('run_id', r.run_id, 'scene', s.product) into work
  from lode.run r
  join lode.scene s on s.scene_id = r.scene_id
  where r.run_id = put_in_queue.run_id;
  select count(*) into blocks from lode.run_block b where b.run_id = put_in_queue.run_id;
  if priority is null then
    keys := array(
      select format('run %s', run_id)
      union all
      select format('block %s of run %s', b.block, b.run_id) from lode.run_block b where b.run_id = put_in_queue.run_id
    );
    -- No `limit`: without statistics the jobs would be gone through by their number.
    select (array_agg(
      j.priority - case when blocks > 1 and j.task_name = 'interpret_run' then 1 else 0 end order by j.id desc
    ))[1]
    into priority
    from (
      select o.id, o.priority, o.task_name
      from procrastinate_jobs o
      where o.status in ('todo', 'doing') and o.queueing_lock = any (keys)
      union all
      select o.id, o.priority, o.task_name
      from procrastinate_jobs o
      where o.status in ('succeeded', 'failed', 'cancelled', 'aborted') and o.queueing_lock = any (keys)
    ) as j;
    priority := coalesce(priority, 0);
  end if;
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
        'inference', 'interpret_block', work || jsonb_build_object('block', block), key, priority
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
    'inference', 'interpret_run', work, key,
    priority + case when blocks > 1 then 1 else 0 end
  ) is not null then
    jobs := jobs + 1;
  end if;
  return jobs;
end
$$;

comment on function lode_api.put_in_queue(integer, integer) is
  'Put the jobs of a run into the queue; how many were put there.';
