-- Purpose: refuse polygons that are added to a run after it was published.
-- Rules: the row of the run stays as it is until the transaction ends, so that nobody publishes it meanwhile.
-- Used by: the trigger on lode.landcover, for rows of runs that the transaction is not publishing.
create function lode_api.guard_landcover() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  found_status text;
begin
  select r.status into found_status from lode.run r where r.run_id = new.run_id for share;
  if found_status in ('published', 'withdrawn') then
    raise exception 'run % is %: no polygon is added to it by hand', new.run_id, found_status
      using errcode = 'check_violation',
        hint = 'Draw a label that counts (lode.label.is_counted), or withdraw the run (lode run withdraw) and '
          'interpret the scene again.';
  end if;
  return null;
end
$$;

comment on function lode_api.guard_landcover() is 'Trigger: no polygon is added to a run that was published.';
