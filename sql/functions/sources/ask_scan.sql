-- Purpose: put the job that looks through a source into the queue.
-- Rules: as when its time has come: at most one waits. What is done with the source stands in its row alone. False
--   where a job waits already, or there is no such source.
-- Used by: `lode source run --queue` of analysts; the schedule, which workers keep.
create function lode_api.ask_scan(source_id integer) returns boolean
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  if not exists (select from lode.ingest_source s where s.ingest_source_id = source_id) then
    return false;
  end if;
  return lode_api.enqueue(
    'ingest', 'scan_source', jsonb_build_object('ingest_source_id', source_id), format('scan of source %s', source_id)
  ) is not null;
end
$$;

comment on function lode_api.ask_scan(integer) is
  'Have a worker look through a source now; false where a job for it waits already.';
