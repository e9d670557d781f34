-- Purpose: of which ground of each region interpreters decide the class, and what of it no run observed.
-- Rules: interpreted ground of a year does not overlap (lode.interpreted_ground), and of what runs observed only
--   the rest is added, so a region's observed area is the sum over runs and labels.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_outside, lode_api.derive_region, lode_api.derive_all_regions. `label_ids` null: all
--   labels; `region_ids` null: all regions.
create function lode_api.derive_region_labels(label_ids integer[], region_ids integer[]) returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  delete from lode.region_ground g
  where g.label_id is not null
    and (label_ids is null or g.label_id = any(label_ids))
    and (region_ids is null or g.region_id = any(region_ids));

  insert into lode.region_ground (region_id, year, label_id, observed_area_m2, interpreted_area_m2)
  with met as materialized (
    select g.label_id, g.year, p.region_id, w.is_whole, case
        when w.is_whole then g.geom
        else st_collectionextract(lode_api.safe_intersection(p.geom, g.geom), 3)
      end as geom, g.area_m2 as label_area_m2
    from lode.interpreted_ground g
    join lode.region_part p on p.geom && g.geom and lode_api.meets(p.geom, g.geom)
    cross join lateral ( -- offset 0: computed once, not wherever it is used
      select lode_api.covers(p.geom, g.geom) as is_whole offset 0
    ) w
    where (label_ids is null or g.label_id = any(label_ids))
      and (region_ids is null or p.region_id = any(region_ids))
  ),
  measured as (
    select m.label_id, m.year, m.region_id, a.area_m2, case
        when s.geom is null then a.area_m2
        when s.is_whole then 0
        else st_area(lode_api.safe_difference(m.geom, s.geom)::geography)
      end as unseen_area_m2
    from met m
    cross join lateral (
      select case when m.is_whole then m.label_area_m2 else st_area(m.geom::geography) end as area_m2
      offset 0
    ) a
    cross join lateral (
      select st_union(o.owned order by o.owned) as geom, bool_or(lode_api.covers(o.owned, m.geom)) as is_whole
      from lode.observation o
      where o.year = m.year and o.geom && m.geom and lode_api.meets(o.owned, m.geom)
    ) s
    where not st_isempty(m.geom)
  )
  select d.region_id, d.year, d.label_id, sum(d.unseen_area_m2 order by d.unseen_area_m2),
    sum(d.area_m2 order by d.area_m2)
  from measured d
  group by d.region_id, d.year, d.label_id
  having sum(d.area_m2 order by d.area_m2) > 1e-3 -- less is rounding
  order by d.region_id, d.year, d.label_id;
end
$$;

comment on function lode_api.derive_region_labels(integer[], integer[]) is
  'Derive the rows of labels in lode.region_ground again.';
