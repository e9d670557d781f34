-- Purpose: tell whoever listens that a run was published, failed or was cancelled: listen lode_run.
-- Rules: the payload is JSON: run_id, status, scene (product, cut at 200 characters).
-- Used by: the trigger on lode.run.
create function lode_api.tell_run() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  perform pg_notify('lode_run', json_build_object(
    'run_id', new.run_id,
    'status', new.status,
    'scene', (select left(s.product, 200) from lode.scene s where s.scene_id = new.scene_id)
  )::text);
  return null;
end
$$;

comment on function lode_api.tell_run() is
  'Trigger: notifies channel lode_run when a run ends.';
