-- Purpose: derive again when the ground of a run is gone; other runs that saw it own it then.
-- Used by: the trigger on lode.observation.
create function lode_api.observation_deleted() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  changed geometry[];
  years integer[];
begin
  select array_agg(b.geom), array_agg(distinct b.year) into changed, years
  from before b
  where b.owned is not null;
  perform lode_api.derive_ground(changed, years);
  return null;
end
$$;

comment on function lode_api.observation_deleted() is
  'Trigger: ground that a deleted run owned is derived again.';
