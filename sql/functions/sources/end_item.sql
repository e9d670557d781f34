-- Purpose: the last scene of a source to come to its end asks for the report.
-- Rules: looked at when the transaction commits, so that nobody waits for whoever stores or publishes a scene.
-- Used by: the trigger on lode.ingest_item.
create function lode_api.end_item() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  perform lode_api.ask_report(new.ingest_source_id);
  return null;
end
$$;

comment on function lode_api.end_item() is
  'Trigger: the last scene of a source to come to its end asks for the report.';
