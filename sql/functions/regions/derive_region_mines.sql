-- Purpose: which mines have ground in which region, and their damage there by year and class.
-- Rules: of a mine wholly inside a region nothing is cut: its pieces keep their areas, its new damage is that of
--   lode.mine_year. Of a mine on a border every piece and every patch is cut there.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_regions, lode_api.derive_region, lode_api.derive_all_regions. `mine_ids` null: all
--   mines; `region_ids` null: all regions. New damage is derived for every year: an earlier one decides it.
create function lode_api.derive_region_mines(mine_ids integer[], years integer[], region_ids integer[])
returns void
language plpgsql
set plan_cache_mode = force_custom_plan
as $$
begin
  with meeting as materialized ( -- a mine that spans parts is covered by them together, or cut
    select p.region_id, m.mine_id, m.boundary, bool_or(c.is_whole) as is_whole,
      case when not bool_or(c.is_whole) then st_union(p.geom order by p.geom) end as parts
    from lode.mine m
    join lode.region_part p on p.geom && m.boundary and lode_api.meets(p.geom, m.boundary)
    cross join lateral (select lode_api.covers(p.geom, m.boundary) as is_whole offset 0) c
    where (mine_ids is null or m.mine_id = any(mine_ids))
      and (region_ids is null or p.region_id = any(region_ids))
    group by p.region_id, m.mine_id
  ),
  relation as materialized (
    select t.region_id, t.mine_id, w.is_whole, x.geom
    from meeting t
    cross join lateral (
      select t.is_whole or lode_api.covers(t.parts, t.boundary) as is_whole offset 0 -- computed once
    ) w
    cross join lateral (
      select case when not w.is_whole then st_multi(
        st_collectionextract(lode_api.safe_intersection(t.parts, t.boundary), 3)
      ) end as geom
      offset 0
    ) x
    where w.is_whole or not st_isempty(x.geom) -- they may only touch
  ),
  gone as (
    delete from lode.region_mine x
    where (mine_ids is null or x.mine_id = any(mine_ids))
      and (region_ids is null or x.region_id = any(region_ids))
      and not exists (
        select from relation n where n.region_id = x.region_id and n.mine_id = x.mine_id
      )
  )
  insert into lode.region_mine as x (region_id, mine_id, is_whole, geom)
  select n.region_id, n.mine_id, n.is_whole, n.geom
  from relation n
  order by n.region_id, n.mine_id
  on conflict (region_id, mine_id) do update set is_whole = excluded.is_whole, geom = excluded.geom
  where x.is_whole <> excluded.is_whole or not st_orderingequals(x.geom, excluded.geom);

  delete from lode.region_mine_area a
  using lode.region_mine x
  where x.region_mine_id = a.region_mine_id
    and (mine_ids is null or x.mine_id = any(mine_ids))
    and (region_ids is null or x.region_id = any(region_ids))
    and a.year = any(years);

  insert into lode.region_mine_area (
    region_mine_id, year, land_class_code, area_m2, exclusive_area_m2, interpreted_area_m2
  )
  with held as materialized (
    select x.region_mine_id, q.year, q.land_class_code, q.label_id, z.is_exclusive, case
        when x.is_whole or lode_api.covers(x.geom, g.geom) then q.area_m2
        when lode_api.meets(x.geom, g.geom) then st_area(lode_api.safe_intersection(x.geom, g.geom)::geography)
        else 0
      end as area_m2
    from lode.region_mine x
    join lode.mine_zone z on z.mine_id = x.mine_id
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = any(years)
    join lode.land_class c
      on c.land_class_code = q.land_class_code and c.damage_kind in ('excavated', 'occupied', 'subsided')
    left join lode.landcover l on not x.is_whole and q.geom is null and l.landcover_id = q.landcover_id
    cross join lateral (
      select case when not x.is_whole then coalesce(q.geom, l.geom) end as geom offset 0 -- read once
    ) g
    where (mine_ids is null or x.mine_id = any(mine_ids))
      and (region_ids is null or x.region_id = any(region_ids))
  )
  select h.region_mine_id, h.year, h.land_class_code, sum(h.area_m2 order by h.area_m2),
    coalesce(sum(h.area_m2 order by h.area_m2) filter (where h.is_exclusive), 0),
    coalesce(sum(h.area_m2 order by h.area_m2) filter (where h.is_exclusive and h.label_id is not null), 0)
  from held h
  group by h.region_mine_id, h.year, h.land_class_code
  having sum(h.area_m2 order by h.area_m2) > 1e-3 -- less is rounding
  order by h.region_mine_id, h.year, h.land_class_code;

  delete from lode.region_mine_year y
  using lode.region_mine x
  where x.region_mine_id = y.region_mine_id
    and (mine_ids is null or x.mine_id = any(mine_ids))
    and (region_ids is null or x.region_id = any(region_ids));

  insert into lode.region_mine_year (region_mine_id, year, newly_area_m2)
  with ground as materialized ( -- of a mine on a border: what is counted of it in the region
    select x.region_mine_id, x.mine_id,
      case when e.is_all then x.geom else lode_api.safe_intersection(x.geom, e.geom) end as geom
    from lode.region_mine x
    cross join lateral (
      select bool_and(z.is_exclusive) as is_all, st_union(z.geom) filter (where z.is_exclusive) as geom
      from lode.mine_zone z
      where z.mine_id = x.mine_id
    ) e
    where not x.is_whole
      and (mine_ids is null or x.mine_id = any(mine_ids))
      and (region_ids is null or x.region_id = any(region_ids))
  ),
  counted as materialized (
    select x.region_mine_id, y.year, y.exclusive_newly_area_m2 as area_m2
    from lode.region_mine x
    join lode.mine_year y on y.mine_id = x.mine_id
    where x.is_whole
      and (mine_ids is null or x.mine_id = any(mine_ids))
      and (region_ids is null or x.region_id = any(region_ids))
    union all
    select g.region_mine_id, t.first_year, case
        when lode_api.covers(g.geom, t.geom) then t.area_m2
        else st_area(lode_api.safe_intersection(g.geom, t.geom)::geography)
      end
    from ground g
    join lode.damage_patch t on t.mine_id = g.mine_id
    where g.geom && t.geom and lode_api.meets(g.geom, t.geom)
  )
  select c.region_mine_id, c.year, sum(c.area_m2 order by c.area_m2)
  from counted c
  group by c.region_mine_id, c.year
  having sum(c.area_m2 order by c.area_m2) > 1e-3 -- less is rounding
  order by c.region_mine_id, c.year;
end
$$;

comment on function lode_api.derive_region_mines(integer[], integer[], integer[]) is
  'Derive lode.region_mine, region_mine_area and region_mine_year again.';
