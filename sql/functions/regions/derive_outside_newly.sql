-- Purpose: what of damaged ground outside mines no earlier year saw damaged.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_outside. Returns the keys of the pieces that changed.
create function lode_api.derive_outside_newly(piece_ids bigint[]) returns bigint[]
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  made bigint[];
begin
  with compared as materialized ( -- each step is computed once, not where it is used
    select q.outside_piece_id, q.area_m2, e.geom is null as is_all, case
        when e.geom is not null then st_multi(st_collectionextract(lode_api.safe_difference(
          q.geom, case when e.piece_count = 1 then e.geom else st_unaryunion(e.geom) end
        ), 3))
      end as geom
    from lode.outside_piece q
    cross join lateral (
      select st_collect(b.geom order by b.geom) as geom, count(*) as piece_count
      from lode.outside_piece b
      where b.geom && q.geom and b.year < q.year and lode_api.meets(b.geom, q.geom)
    ) e
    where q.outside_piece_id = any(piece_ids)
  ),
  measured as materialized (
    select c.outside_piece_id, c.geom, case
        when c.is_all then c.area_m2
        else (select case when a.area_m2 > 1e-3 then a.area_m2 else 0 end -- less is rounding
          from (select st_area(c.geom::geography) as area_m2) a)
      end as area_m2
    from compared c
  ),
  changed as (
    update lode.outside_piece q
    set newly_area_m2 = m.area_m2, newly_geom = case when m.area_m2 > 0 then m.geom end
    from measured m
    where m.outside_piece_id = q.outside_piece_id
      and (
        m.area_m2 <> q.newly_area_m2
        or (m.area_m2 > 0 and (q.newly_geom is null) <> (m.geom is null))
        or (m.area_m2 > 0 and not st_orderingequals(q.newly_geom, m.geom))
      )
    returning q.outside_piece_id
  )
  select coalesce(array_agg(c.outside_piece_id), '{}') into made from changed c;
  return made;
end
$$;

comment on function lode_api.derive_outside_newly(bigint[]) is
  'Derive what of these pieces outside mines is new; returns the keys of those that changed.';
