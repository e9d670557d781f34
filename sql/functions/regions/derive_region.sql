-- Purpose: everything of these regions from nothing: their outline is new or another.
-- Used by: the triggers on lode.region.
create function lode_api.derive_region(region_ids integer[]) returns void
language plpgsql
as $$
declare
  years integer[] := lode_api.account_years();
begin
  if coalesce(cardinality(region_ids), 0) = 0 then
    return;
  end if;
  perform lode_api.derive_region_parts(region_ids);
  perform lode_api.derive_region_runs(null, region_ids);
  perform lode_api.derive_region_labels(null, region_ids);
  perform lode_api.derive_region_pieces(null, region_ids);
  perform lode_api.derive_region_mines(null, years, region_ids);
  perform lode_api.derive_region_years(region_ids, years[1]);
end
$$;

comment on function lode_api.derive_region(integer[]) is
  'Derive everything of these regions from nothing.';
