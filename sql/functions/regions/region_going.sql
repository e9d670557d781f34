-- Purpose: a region goes before a publication begins or after it ended: rows that one writes for a region that
--   goes meanwhile would make it fail.
-- Used by: the trigger on lode.region.
create function lode_api.region_going() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  perform lode_api.lock_accounts();
  return null;
end
$$;

comment on function lode_api.region_going() is
  'Trigger: regions are deleted under the lock under which areas are derived.';
