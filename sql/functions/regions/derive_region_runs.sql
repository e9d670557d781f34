-- Purpose: how much of each region each run observed, of the ground it owns in the year map.
-- Rules: what runs own does not overlap within a year, so a region's observed area is the sum. Owned ground is
--   divided as regions are: a part inside the other keeps its area, only edges are cut.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.observation_owned, lode_api.derive_region, lode_api.derive_all_regions. `run_ids` null: all
--   runs; `region_ids` null: all regions.
create function lode_api.derive_region_runs(run_ids integer[], region_ids integer[]) returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  delete from lode.region_ground g
  where g.run_id is not null
    and (run_ids is null or g.run_id = any(run_ids))
    and (region_ids is null or g.region_id = any(region_ids));

  insert into lode.region_ground (region_id, year, run_id, observed_area_m2, interpreted_area_m2)
  with tile as materialized (
    select o.run_id, o.year, d.geom, st_area(st_segmentize(d.geom, 0.01)::geography) as area_m2
    from lode.observation o
    cross join lateral st_subdivide(o.owned, 256) as d(geom)
    where (run_ids is null or o.run_id = any(run_ids))
      and o.owned is not null and not st_isempty(o.owned)
      and exists (
        select from lode.region_part p
        where (region_ids is null or p.region_id = any(region_ids)) and p.geom && o.geom
      )
  ),
  met as materialized (
    select t.run_id, t.year, p.region_id, case
        when lode_api.covers(p.geom, t.geom) then t.area_m2
        when lode_api.covers(t.geom, p.geom) then p.area_m2
        else st_area(st_segmentize(
          st_collectionextract(lode_api.safe_intersection(p.geom, t.geom), 3), 0.01
        )::geography)
      end as area_m2
    from tile t
    join lode.region_part p on p.geom && t.geom and lode_api.meets(p.geom, t.geom)
    where region_ids is null or p.region_id = any(region_ids)
  )
  select m.region_id, m.year, m.run_id, sum(m.area_m2 order by m.area_m2), 0
  from met m
  group by m.region_id, m.year, m.run_id
  having sum(m.area_m2 order by m.area_m2) > 1e-3 -- less is rounding
  order by m.region_id, m.year, m.run_id;
end
$$;

comment on function lode_api.derive_region_runs(integer[], integer[]) is
  'Derive the rows of runs in lode.region_ground again.';
