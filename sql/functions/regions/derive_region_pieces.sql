-- Purpose: which damaged ground outside mines lies in which region.
-- Rules: a piece wholly inside keeps its area; only those on a border are cut.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_outside, lode_api.derive_region, lode_api.derive_all_regions. `piece_ids` null: all
--   pieces; `region_ids` null: all regions.
create function lode_api.derive_region_pieces(piece_ids bigint[], region_ids integer[]) returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  delete from lode.region_piece e
  where (piece_ids is null or e.outside_piece_id = any(piece_ids))
    and (region_ids is null or e.region_id = any(region_ids));

  insert into lode.region_piece (
    region_id, outside_piece_id, year, land_class_code, area_m2, newly_area_m2, interpreted_area_m2
  )
  with met as (
    select r.region_id, q.outside_piece_id, q.year, q.land_class_code, q.label_id, a.area_m2, case
        when q.newly_area_m2 = 0 then 0
        when w.is_whole then q.newly_area_m2
        when q.newly_geom is null then a.area_m2
        else st_area(lode_api.safe_intersection(r.geom, q.newly_geom)::geography)
      end as newly_area_m2
    from lode.outside_piece q
    join lode.region_part r on r.geom && q.geom and lode_api.meets(r.geom, q.geom)
    cross join lateral ( -- offset 0: computed once, not wherever it is used
      select lode_api.covers(r.geom, q.geom) as is_whole offset 0
    ) w
    cross join lateral (
      select case
        when w.is_whole then q.area_m2
        else st_area(lode_api.safe_intersection(r.geom, q.geom)::geography)
      end as area_m2
      offset 0
    ) a
    where (piece_ids is null or q.outside_piece_id = any(piece_ids))
      and (region_ids is null or r.region_id = any(region_ids))
  )
  select m.region_id, m.outside_piece_id, m.year, m.land_class_code, sum(m.area_m2 order by m.area_m2),
    sum(m.newly_area_m2 order by m.newly_area_m2),
    case when m.label_id is null then 0 else sum(m.area_m2 order by m.area_m2) end
  from met m
  group by m.region_id, m.outside_piece_id, m.year, m.land_class_code, m.label_id
  having sum(m.area_m2 order by m.area_m2) > 1e-3 -- less is rounding
  order by m.region_id, m.outside_piece_id;
end
$$;

comment on function lode_api.derive_region_pieces(bigint[], integer[]) is
  'Derive lode.region_piece again.';
