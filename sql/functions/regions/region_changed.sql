-- Purpose: totals follow when a region comes or its outline is edited; when one goes, what it held goes with it.
-- Used by: the triggers on lode.region.
create function lode_api.region_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  region_ids integer[];
begin
  if tg_op = 'INSERT' then
    select array_agg(a.region_id order by a.region_id) into region_ids from after a;
  else
    select array_agg(a.region_id order by a.region_id) into region_ids
    from before b
    join after a on a.region_id = b.region_id
    where not st_orderingequals(b.geom, a.geom);
  end if;
  if region_ids is not null then
    perform lode_api.lock_accounts();
    perform lode_api.derive_region(region_ids);
  end if;
  return null;
end
$$;

comment on function lode_api.region_changed() is
  'Trigger: totals follow the outlines of regions.';
