-- Purpose: derive again when another run stands for a scene, or an analyst gives one another priority.
-- Rules: a scene's day may have been corrected while its run was being published: the run goes into the year of
--   its scene when it comes to count. What was published stays published or withdrawn, whatever a client writes: a
--   run that had not been published could be given other polygons.
-- Used by: the trigger on lode.run.
create function lode_api.run_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  run_ids integer[];
  changed geometry[];
  years integer[];
  moved_years integer[];
  refused integer;
  refused_status text;
begin
  select b.run_id, b.status into refused, refused_status
  from before b
  left join after a on a.run_id = b.run_id
  where b.status in ('published', 'withdrawn') and coalesce(a.status, 'gone') not in ('published', 'withdrawn')
  limit 1;
  if refused is not null then
    raise exception 'run % is %: it can be published or withdrawn, and nothing else', refused, refused_status
      using errcode = 'check_violation',
        hint = 'Withdraw it (lode run withdraw) and interpret the scene again with other parameters or another '
          'network, or delete it: delete from lode.run.';
  end if;

  select array_agg(a.run_id) into run_ids
  from before b
  join after a on a.run_id = b.run_id
  where a.is_current and not b.is_current;
  if run_ids is not null then
    perform lode_api.derive_outlines(run_ids);
  end if;

  select array_agg(a.run_id) into run_ids
  from before b
  join after a on a.run_id = b.run_id
  where (b.is_current or a.is_current)
    and (b.is_current, b.priority, b.scene_id, b.model_id)
      is distinct from (a.is_current, a.priority, a.scene_id, a.model_id);
  if run_ids is null then
    return null;
  end if;
  perform lode_api.lock_accounts(); -- before the scenes are looked at: one whose day was corrected must be seen
  select array_agg(o.geom), array_agg(o.year) into changed, years
  from lode.observation o
  where o.run_id = any(run_ids);
  moved_years := lode_api.date_runs(run_ids);
  years := array(select distinct y from unnest(years || moved_years) as y order by y);
  perform lode_api.derive_ground(changed, years);
  return null;
end
$$;

comment on function lode_api.run_changed() is
  'Trigger: what a run changed to is derived.';
