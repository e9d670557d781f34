-- Purpose: damaged ground outside every mine, from published polygons and labels of given years.
-- Rules: of a run's polygons, classes with land_class.counts_outside_mines, on the ground the run owns and no
--   interpreter decides; of counting labels, every class of damage except water, which is damage inside mines
--   only: what an interpreter drew as damage is damage wherever it lies. A polygon that lies wholly outside
--   mines keeps the area it was published with.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_outside. Returns the keys of the new pieces; all of each counts as new until
--   lode_api.derive_outside_newly looks at earlier years.
create function lode_api.derive_outside_pieces(landcover_ids bigint[], label_ids integer[], years integer[])
returns bigint[]
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
declare
  made bigint[];
begin
  with drawn as materialized (
    select l.landcover_id, null::integer as label_id, l.run_id, o.year, l.land_class_code, l.area_m2, l.geom,
      o.owned
    from lode.landcover l
    join lode.observation o on o.run_id = l.run_id and o.year = any(years) and o.owned is not null
    where l.landcover_id = any(landcover_ids)
      and not exists (
        select from lode.mine m where m.boundary && l.geom and lode_api.covers(m.boundary, l.geom)
      )
    union all
    select null, g.label_id, null, g.year, g.land_class_code, g.area_m2, g.geom, null
    from lode.interpreted_ground g
    join lode.land_class k on k.land_class_code = g.land_class_code
    where g.label_id = any(label_ids) and g.year = any(years)
      and k.damage_kind in ('excavated', 'occupied', 'subsided') and k.key <> 'water'
  ),
  owned as materialized (
    select d.landcover_id, d.label_id, d.run_id, d.year, d.land_class_code, d.area_m2, w.is_whole, case
        when w.is_whole then d.geom
        else st_collectionextract(lode_api.safe_intersection(d.owned, d.geom), 3)
      end as geom
    from drawn d
    cross join lateral ( -- offset 0: computed once, not wherever it is used
      select d.owned is null or lode_api.covers(d.owned, d.geom) as is_whole offset 0
    ) w
  ),
  outside as materialized (
    select d.landcover_id, d.label_id, d.run_id, d.year, d.land_class_code,
      case when w.is_whole then d.area_m2 else st_area(w.geom::geography) end as area_m2, w.geom
    from owned d
    cross join lateral (
      select st_union(t.geom order by t.geom) as geom
      from (
        select m.boundary as geom
        from lode.mine m
        where m.boundary && d.geom and lode_api.meets(m.boundary, d.geom)
        union all
        select g.geom
        from lode.interpreted_ground g
        where d.label_id is null and g.year = d.year and g.geom && d.geom and lode_api.meets(g.geom, d.geom)
      ) t
    ) taken
    cross join lateral (
      select d.is_whole and taken.geom is null as is_whole, case
        when taken.geom is null then st_multi(d.geom)
        else st_multi(st_collectionextract(lode_api.safe_difference(d.geom, taken.geom), 3))
      end as geom
      offset 0
    ) w
    where not st_isempty(d.geom)
  ),
  stored as (
    insert into lode.outside_piece (
      year, land_class_code, run_id, landcover_id, label_id, area_m2, newly_area_m2, start_date, end_date,
      geom
    )
    select o.year, o.land_class_code, o.run_id, o.landcover_id, o.label_id, o.area_m2, o.area_m2,
      make_date(o.year, 1, 1), make_date(o.year + 1, 1, 1), o.geom
    from outside o
    where o.area_m2 > 1e-3 -- less is rounding
    order by o.year, o.landcover_id, o.label_id
    returning outside_piece_id
  )
  select coalesce(array_agg(s.outside_piece_id), '{}') into made from stored s;
  return made;
end
$$;

comment on function lode_api.derive_outside_pieces(bigint[], integer[], integer[]) is
  'Store the ground outside mines of these polygons and labels, which has none yet; returns the keys.';
