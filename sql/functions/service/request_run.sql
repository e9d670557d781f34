-- Purpose: ask for a run on behalf of the login, within its quota, and put it into the queue.
-- Used by: lode_api.request_inference, request_mine.
create function lode_api.request_run(
  scene_id integer,
  model_id integer,
  becomes_current boolean default false,
  priority integer default 0
)
returns integer
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  asked integer;
  settings_digest text;
begin
  settings_digest := encode(sha256(convert_to((lode_api.run_parameters(model_id, null) - 'block_px')::text, 'UTF8')), 'hex');
  -- What is done, waits or runs already costs nobody anything.
  if not exists (
    select from lode.run r
    where r.scene_id = request_run.scene_id and r.model_id = request_run.model_id
      and r.parameters_digest = settings_digest and r.status in ('requested', 'running', 'published')
  ) then
    perform lode_api.check_quota((
      select s.width_px::double precision * s.height_px * s.resolution_m * s.resolution_y_m * s.valid_fraction / 1e6
      from lode.scene s
      where s.scene_id = request_run.scene_id
    ));
  end if;
  asked := lode_api.ask_run(scene_id, model_id, null, becomes_current);
  perform lode_api.put_in_queue(asked, priority);
  return asked;
end
$$;

comment on function lode_api.request_run(integer, integer, boolean, integer) is
  'Ask for a run within the quota of the login and put it into the queue; its key.';
