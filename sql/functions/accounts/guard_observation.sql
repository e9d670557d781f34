-- Purpose: what a run observed stays as it was published.
-- Rules: its year follows the day of the scene (lode_api.date_runs). What it owns of the ground is derived, and not
--   looked at here.
-- Used by: the triggers on lode.observation.
create function lode_api.guard_observation() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  run_ids integer[] := array[new.run_id];
  refused integer;
begin
  if tg_op = 'UPDATE' then
    if (old.run_id, old.area_m2) = (new.run_id, new.area_m2) and st_orderingequals(old.geom, new.geom) and (
      old.year = new.year or exists (
        select from lode.run r
        join lode.scene s on s.scene_id = r.scene_id
        where r.run_id = new.run_id and extract(year from s.acquired_on) = new.year
      )
    ) then
      return new;
    end if;
    run_ids := run_ids || old.run_id;
  end if;
  select r.run_id into refused
  from lode.run r
  where r.run_id = any(run_ids) and r.status in ('published', 'withdrawn')
  limit 1;
  if refused is not null then
    raise exception 'run %: what it observed stays as it was published', refused
      using errcode = 'check_violation',
        hint = 'Its year follows lode.scene.acquired_on. If it saw less, withdraw it (lode run withdraw), ingest '
          'the scene with its clouds outlined and interpret it again.';
  end if;
  return new;
end
$$;

comment on function lode_api.guard_observation() is
  'Trigger: what a run observed stays as it was published.';
