-- Purpose: derive the year map anew where runs came or went, and what stands on it.
-- CRS: EPSG:4326.
-- Used by: the triggers on lode.run, lode.scene and lode.observation. `changed` are the outlines of what came or
--   went, `years` the years it counts in. Labels do not decide which run owns which ground: their trigger calls
--   lode_api.derive_standing alone.
create function lode_api.derive_ground(changed geometry[], years integer[]) returns void
language plpgsql
as $$
declare
  box geometry := (select st_setsrid(st_extent(c.geom)::geometry, 4326) from unnest(changed) as c(geom));
  of_year integer;
begin
  if box is null or coalesce(cardinality(years), 0) = 0 then
    return;
  end if;
  perform lode_api.lock_accounts();
  foreach of_year in array years loop
    perform lode_api.derive_ownership(box, of_year);
  end loop;
  perform lode_api.derive_standing(changed, years);
end
$$;

comment on function lode_api.derive_ground(geometry[], integer[]) is
  'Derive again which run owns the ground inside these outlines in these years, and what stands on it.';
