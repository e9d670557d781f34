-- Purpose: derive again when the ground of a run is gone; other runs that saw it own it then.
-- Rules: what a run observed goes with the run, and while that has not been published.
-- Used by: the trigger on lode.observation.
create function lode_api.observation_deleted() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  refused integer;
  changed geometry[];
  years integer[];
begin
  select r.run_id into refused
  from before b
  join lode.run r on r.run_id = b.run_id and r.status in ('published', 'withdrawn')
  limit 1;
  if refused is not null then
    raise exception 'run %: what it observed stays as it was published', refused
      using errcode = 'check_violation',
        hint = 'Withdraw it (lode run withdraw), or delete the run and all that is its own: delete from lode.run.';
  end if;
  select array_agg(b.geom), array_agg(distinct b.year) into changed, years
  from before b
  where b.owned is not null;
  perform lode_api.derive_ground(changed, years);
  return null;
end
$$;

comment on function lode_api.observation_deleted() is
  'Trigger: ground that a deleted run owned is derived again.';
