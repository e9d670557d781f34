-- Purpose: enqueue the publication when the last block of a run is staged.
-- Rules: the caller holds the run's row, so that of two blocks that finish at once the later one sees both. A run that
--   nobody put into the queue is published by the campaign that computes it.
-- Used by: workers and campaigns, in the transaction that stages a block.
create function lode_api.block_finished(run_id integer) returns boolean
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
  if exists (
    select from lode.run_block b where b.run_id = block_finished.run_id and b.status <> 'staged'
  ) then
    return false;
  end if;
  perform lode_api.put_in_queue(r.run_id)
  from lode.run r
  where r.run_id = block_finished.run_id and r.queued_at is not null;
  return true;
end
$$;

comment on function lode_api.block_finished(integer) is
  'Enqueue the publication of a run whose blocks are all staged; whether that was so.';
