-- Purpose: what was found in a source goes with the run of its scene.
-- Used by: the trigger on lode.run.
create function lode_api.follow_run() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  update lode.ingest_item i
  set
    status = case new.status
      when 'published' then 'published'
      when 'failed' then 'failed'
      when 'cancelled' then 'skipped'
      when 'running' then 'interpreting'
      else 'ingested'
    end,
    published_at = case new.status when 'published' then clock_timestamp() end,
    error = case when new.status in ('failed', 'cancelled') then coalesce(new.error, new.status) end
  where i.run_id = new.run_id and i.status in ('ingested', 'interpreting', 'skipped', 'failed');
  return null;
end
$$;

comment on function lode_api.follow_run() is 'Trigger: what was found in a source goes with the run of its scene.';
