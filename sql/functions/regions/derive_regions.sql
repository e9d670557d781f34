-- Purpose: what regions hold of these mines, after the mines' own accounts were derived.
-- Used by: lode_api.derive_dependents.
create function lode_api.derive_regions(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
declare
  regions integer[];
begin
  if mine_ids is null or not exists (select from lode.region) then
    return;
  end if;
  -- A region that a mine has left holds less now.
  select array_agg(distinct x.region_id) into regions from lode.region_mine x where x.mine_id = any(mine_ids);
  perform lode_api.derive_region_mines(mine_ids, years, null);
  select array_agg(distinct r.region_id) into regions
  from (
    select unnest(regions) as region_id
    union
    select x.region_id from lode.region_mine x where x.mine_id = any(mine_ids)
  ) r;
  perform lode_api.derive_region_years(regions, (select min(y) from unnest(years) as y));
end
$$;

comment on function lode_api.derive_regions(integer[], integer[]) is
  'Derive what regions hold of these mines again where these years matter.';
