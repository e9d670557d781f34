-- Purpose: derive again when a newer version replaces a scene, or its clouds or day turn out to be others.
-- Rules: a day in another year takes what was observed and published there, of withdrawn runs as well.
-- Used by: the trigger on lode.scene.
create function lode_api.scene_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  changed geometry[];
  years integer[];
  moved_years integer[];
begin
  if not exists (
    select from before b
    join after a on a.scene_id = b.scene_id
    where (b.superseded_by, b.cloud_fraction, b.acquired_on)
      is distinct from (a.superseded_by, a.cloud_fraction, a.acquired_on)
  ) then
    return null;
  end if;
  perform lode_api.lock_accounts(); -- before runs are looked for: one that is being published must be seen
  select array_agg(o.geom), array_agg(o.year) into changed, years
  from before b
  join after a on a.scene_id = b.scene_id
  join lode.run r on r.scene_id = a.scene_id and r.is_current
  join lode.observation o on o.run_id = r.run_id
  where (b.superseded_by, b.cloud_fraction, b.acquired_on)
    is distinct from (a.superseded_by, a.cloud_fraction, a.acquired_on);
  moved_years := lode_api.date_runs(array(
    select r.run_id
    from before b
    join after a on a.scene_id = b.scene_id
    join lode.run r on r.scene_id = a.scene_id
    where extract(year from b.acquired_on) <> extract(year from a.acquired_on)
  ));
  years := array(select distinct y from unnest(years || moved_years) as y order by y);
  perform lode_api.derive_ground(changed, years);
  return null;
end
$$;

comment on function lode_api.scene_changed() is
  'Trigger: what a scene changed to is derived.';
