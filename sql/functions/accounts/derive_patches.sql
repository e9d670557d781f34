-- Purpose: ground by when it was first seen damaged, under codes that stay the same from year to year.
-- Rules: it was first seen on the day of the scene, or of the label, that says so. It is new where an earlier
--   year saw its ground and could judge it. A patch is ground of one kind, connected, that no earlier year saw damaged; the patches of a mine
--   share no ground, so their areas add up to the cumulative footprint. A code is the mine's code, the first
--   year, the kind's letter and the number by size; what is smaller than the smallest mapped patch of its kind
--   is gathered under number 0, so that nothing is lost. A year that is derived again makes the patches of
--   that year and of later ones anew; codes of earlier ones stay, whatever comes later.
-- CRS: EPSG:4326. Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines, after derive_damage.
create function lode_api.derive_patches(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
declare
  since integer := (select min(y) from unnest(years) as y);
  of_year integer;
begin
  delete from lode.damage_patch where mine_id = any(mine_ids) and first_year >= since;

  for of_year in
    select distinct d.year from lode.mine_damage d
    where d.mine_id = any(mine_ids) and d.year >= since
    order by d.year
  loop
    insert into lode.damage_patch (
      code, mine_id, damage_kind, first_year, number, first_damaged_on, is_new, last_seen_year, last_seen_on,
      area_m2, damaged_area_m2, start_date, end_date, geom
    )
    with blind as materialized (
      select b.mine_id, b.year, b.run_id, b.land_class_code
      from lode_api.blind_classes(mine_ids) b
      where b.is_mapped and exists (
        select from lode.mine_year y
        join lode.mine_area a on a.mine_year_id = y.mine_year_id
        where (y.mine_id, y.year, a.land_class_code) = (b.mine_id, of_year, b.land_class_code)
          and a.area_m2 > 0
      )
    ),
    least_patch as (
      select c.damage_kind, min(c.min_patch_m2) as area_m2 from lode.land_class c group by c.damage_kind
    ),
    earlier as materialized ( -- few large shapes: much cheaper than the many patches they make up
      select e.mine_id, lode_api.sound(st_union(e.geom order by e.year, e.damage_kind)) as geom
      from lode.mine_damage e
      where e.mine_id = any(mine_ids) and e.year < of_year
      group by e.mine_id
    ),
    component as materialized (
      select d.mine_id, d.damage_kind, p.geom, st_area(p.geom::geography) as area_m2
      from lode.mine_damage d
      left join earlier e on e.mine_id = d.mine_id
      cross join lateral st_dump(st_collectionextract(
        case when e.geom is null then d.geom else lode_api.safe_difference(d.geom, e.geom) end, 3
      )) as p
      where d.mine_id = any(mine_ids) and d.year = of_year
    ),
    numbered as materialized (
      select c.mine_id, c.damage_kind, c.geom, c.area_m2,
        case when c.area_m2 >= k.area_m2 then row_number() over (
          partition by c.mine_id, c.damage_kind
          order by c.area_m2 desc, st_xmin(c.geom), st_ymin(c.geom), c.geom
        ) else 0 end as number
      from component c
      join least_patch k on k.damage_kind = c.damage_kind
    ),
    patch as materialized (
      select n.mine_id, n.damage_kind, n.number, st_multi(st_collect(n.geom order by n.geom)) as geom,
        sum(n.area_m2 order by n.area_m2) as area_m2
      from numbered n
      group by n.mine_id, n.damage_kind, n.number
    )
    select m.code || '-' || of_year || '-' || upper(left(p.damage_kind, 1)) || p.number, p.mine_id,
      p.damage_kind, of_year, p.number, coalesce(seen.on_day, y.last_acquired_on), before.was_seen, of_year,
      coalesce(seen.on_day, y.last_acquired_on), p.area_m2, p.area_m2, make_date(of_year, 1, 1),
      make_date(of_year + 1, 1, 1), p.geom
    from patch p
    join lode.mine m on m.mine_id = p.mine_id
    join lode.mine_year y on y.mine_id = p.mine_id and y.year = of_year
    cross join lateral (select st_pointonsurface(p.geom) as geom offset 0) o
    cross join lateral (
      select max(coalesce(i.valid_on, s.acquired_on)) filter (
          where y.first_acquired_on <> y.last_acquired_on
        ) as on_day,
        array_agg(q.land_class_code) as codes
      from lode.mine_zone z
      join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = of_year
      join lode.land_class k on k.land_class_code = q.land_class_code and k.damage_kind = p.damage_kind
      left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
      left join lode.label i on i.label_id = q.label_id
      left join lode.run r on r.run_id = q.run_id
      left join lode.scene s on s.scene_id = r.scene_id
      where (y.first_acquired_on <> y.last_acquired_on or exists (
          select from blind b where b.mine_id = p.mine_id
        ))
        and z.mine_id = p.mine_id
        and coalesce(q.geom, l.geom) && o.geom and st_intersects(coalesce(q.geom, l.geom), o.geom)
    ) seen
    cross join lateral (
      select exists (
        select from lode.mine_zone z
        join lode.zone_year v on v.mine_zone_id = z.mine_zone_id and v.year < of_year
        where z.mine_id = p.mine_id and st_intersects(coalesce(v.geom, z.geom), o.geom)
          and not exists (
            select from blind b
            join lode.mine_piece q
              on q.mine_zone_id = z.mine_zone_id and q.year = v.year and q.run_id = b.run_id
            left join lode.landcover l on q.geom is null and l.landcover_id = q.landcover_id
            where b.mine_id = p.mine_id and b.year = v.year and b.land_class_code = any(seen.codes)
              and st_intersects(coalesce(q.geom, l.geom), o.geom)
          )
      ) as was_seen
    ) before
    order by p.mine_id, p.damage_kind, p.number;
  end loop;
end
$$;

comment on function lode_api.derive_patches(integer[], integer[]) is
  'Derive lode.damage_patch of these mines again, from the earliest of these years on.';
