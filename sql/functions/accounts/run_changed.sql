-- Purpose: derive again when another run stands for a scene, or an analyst gives one another priority.
-- Used by: the trigger on lode.run.
create function lode_api.run_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  run_ids integer[];
  changed geometry[];
  years integer[];
begin
  select array_agg(o.geom), array_agg(distinct o.year) into changed, years
  from before b
  join after a on a.run_id = b.run_id
  join lode.observation o on o.run_id = a.run_id
  where (b.is_current or a.is_current)
    and (b.is_current, b.priority, b.scene_id) is distinct from (a.is_current, a.priority, a.scene_id);
  select array_agg(a.run_id) into run_ids
  from before b
  join after a on a.run_id = b.run_id
  where a.is_current and not b.is_current;
  if run_ids is not null then
    perform lode_api.derive_parts(run_ids);
    perform lode_api.derive_general(run_ids);
  end if;
  perform lode_api.derive_ground(changed, years);
  return null;
end
$$;

comment on function lode_api.run_changed() is
  'Trigger: what a run changed to is derived.';
