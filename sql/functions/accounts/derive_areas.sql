-- Purpose: area by mine, year and class, and how much of the mine was observed.
-- Rules: the mean probability is weighted by area; what an interpreter drew has 1, what a run stored without
--   one 0.5. A class has a row where it was found, and with 0 where a network that maps it saw the mine and did
--   not find it. A class that nobody looked for has no row. A class was judged where a network that maps it, or
--   an interpreter, decided the ground.
-- Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_mines, after derive_pieces.
create function lode_api.derive_areas(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.mine_year where mine_id = any(mine_ids) and year = any(years);

  insert into lode.mine_year (
    mine_id, year, boundary_area_m2, observed_area_m2, exclusive_observed_area_m2, interpreted_area_m2,
    run_ids, first_acquired_on, last_acquired_on, newly_area_m2, cumulative_area_m2,
    unobserved_damage_area_m2, exclusive_newly_area_m2, exclusive_cumulative_area_m2
  )
  with observed as (
    select z.mine_id, y.year, sum(y.area_m2 order by y.area_m2) as area_m2,
      coalesce(sum(y.area_m2 order by y.area_m2) filter (where z.is_exclusive), 0) as exclusive_area_m2
    from lode.mine_zone z
    join lode.zone_year y on y.mine_zone_id = z.mine_zone_id and y.year = any(years)
    where z.mine_id = any(mine_ids)
    group by z.mine_id, y.year
  ),
  origin as (
    select z.mine_id, q.year,
      coalesce(sum(q.area_m2 order by q.area_m2) filter (where q.label_id is not null), 0)
        as interpreted_area_m2,
      array_agg(distinct q.run_id) filter (where q.run_id is not null) as run_ids,
      min(coalesce(s.acquired_on, l.valid_on)) as first_on,
      max(coalesce(s.acquired_on, l.valid_on)) as last_on
    from lode.mine_zone z
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = any(years)
    left join lode.run r on r.run_id = q.run_id
    left join lode.scene s on s.scene_id = r.scene_id
    left join lode.label l on l.label_id = q.label_id
    where z.mine_id = any(mine_ids)
    group by z.mine_id, q.year
  )
  select o.mine_id, o.year,
    (select sum(z.area_m2 order by z.area_m2) from lode.mine_zone z where z.mine_id = o.mine_id),
    o.area_m2, o.exclusive_area_m2, coalesce(g.interpreted_area_m2, 0), coalesce(g.run_ids, '{}'),
    g.first_on, g.last_on, 0, 0, 0, 0, 0
  from observed o
  left join origin g on g.mine_id = o.mine_id and g.year = o.year
  order by o.mine_id, o.year;

  insert into lode.mine_area (
    mine_year_id, land_class_code, area_m2, exclusive_area_m2, interpreted_area_m2, judged_area_m2,
    unlicensed_area_m2, mean_probability
  )
  with found as (
    select z.mine_id, q.year, q.land_class_code, sum(q.area_m2 order by q.area_m2) as area_m2,
      coalesce(sum(q.area_m2 order by q.area_m2) filter (where z.is_exclusive), 0) as exclusive_area_m2,
      coalesce(sum(q.area_m2 order by q.area_m2) filter (where q.label_id is not null), 0)
        as interpreted_area_m2,
      sum(q.unlicensed_area_m2 order by q.unlicensed_area_m2) as unlicensed_area_m2,
      sum(w.probable_m2 order by w.probable_m2)
        / nullif(sum(q.area_m2 order by q.area_m2), 0) as mean_probability
    from lode.mine_zone z
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = any(years)
    left join lode.landcover l on l.landcover_id = q.landcover_id
    cross join lateral (
      select q.area_m2
        * case when q.label_id is not null then 1 else coalesce(l.mean_probability, 0.5) end as probable_m2
    ) w
    where z.mine_id = any(mine_ids)
    group by z.mine_id, q.year, q.land_class_code
  ),
  by_run as (
    select z.mine_id, q.year, q.run_id, sum(q.area_m2 order by q.area_m2) as area_m2
    from lode.mine_zone z
    join lode.mine_piece q on q.mine_zone_id = z.mine_zone_id and q.year = any(years)
    where z.mine_id = any(mine_ids) and q.run_id is not null
    group by z.mine_id, q.year, q.run_id
  ),
  looked_for as (
    select u.mine_id, u.year, code.land_class_code, sum(u.area_m2 order by u.area_m2) as area_m2
    from by_run u
    join lode.run r on r.run_id = u.run_id
    join lode.model d on d.model_id = r.model_id
    cross join lateral unnest(d.mapped_codes) as code(land_class_code)
    group by u.mine_id, u.year, code.land_class_code
  ),
  class_of_year as (
    select f.mine_id, f.year, f.land_class_code from found f
    union
    select l.mine_id, l.year, l.land_class_code from looked_for l
  )
  select y.mine_year_id, k.land_class_code, coalesce(f.area_m2, 0), coalesce(f.exclusive_area_m2, 0),
    coalesce(f.interpreted_area_m2, 0), y.interpreted_area_m2 + coalesce(l.area_m2, 0),
    case
      when m.licence_boundary is not null and c.damage_kind in ('excavated', 'occupied', 'subsided')
        then coalesce(f.unlicensed_area_m2, 0)
    end, f.mean_probability
  from class_of_year k
  join lode.mine_year y on y.mine_id = k.mine_id and y.year = k.year
  join lode.mine m on m.mine_id = k.mine_id
  join lode.land_class c on c.land_class_code = k.land_class_code
  left join found f
    on f.mine_id = k.mine_id and f.year = k.year and f.land_class_code = k.land_class_code
  left join looked_for l
    on l.mine_id = k.mine_id and l.year = k.year and l.land_class_code = k.land_class_code
  order by y.mine_year_id, k.land_class_code;
end
$$;

comment on function lode_api.derive_areas(integer[], integer[]) is
  'Derive lode.mine_year and lode.mine_area of these mines and years again, from their pieces.';
