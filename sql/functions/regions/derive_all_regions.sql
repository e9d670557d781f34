-- Purpose: ground outside mines and all regions from nothing; what the triggers keep up must equal it.
-- Used by: lode_api.derive_shared, after interpreted ground, the year map and the mines were derived.
create function lode_api.derive_all_regions() returns void
language plpgsql
as $$
begin
  delete from lode.outside_piece;
  delete from lode.region_part;
  delete from lode.region_ground;
  delete from lode.region_mine;
  delete from lode.region_area;
  delete from lode.region_year;
  perform lode_api.derive_outside(
    array[st_makeenvelope(-180, -90, 180, 90, 4326)], lode_api.account_years()
  );
  perform lode_api.derive_region((select array_agg(r.region_id order by r.region_id) from lode.region r));
end
$$;

comment on function lode_api.derive_all_regions() is
  'Derive ground outside mines and all regions from nothing.';
