-- Purpose: classes of damage that are known in a mine but that a run which counts there could not have found.
-- Rules: a network finds the classes it maps. A class that no network maps (subsidence) was looked for where
--   interpreters drew it in the mine in that year. "Undamaged" of such a run says nothing about the class.
-- Used by: lode_api.derive_blind_pairs, derive_blind_years, derive_patches. No rows: every run could judge.
create function lode_api.blind_classes(mine_ids integer[])
returns table (
  mine_id integer, year integer, run_id integer, land_class_code integer, is_mapped boolean, damage_kind text
)
language sql stable
begin atomic
  with known as materialized (
    select distinct y.mine_id, c.land_class_code, c.is_mapped, c.damage_kind
    from lode.mine_year y
    join lode.mine_area a on a.mine_year_id = y.mine_year_id and a.area_m2 > 0
    join lode.land_class c on c.land_class_code = a.land_class_code
    where y.mine_id = any(mine_ids) and c.damage_kind in ('excavated', 'occupied', 'subsided')
  )
  select y.mine_id, y.year, r.run_id, k.land_class_code, k.is_mapped, k.damage_kind
  from lode.mine_year y
  cross join lateral unnest(y.run_ids) as u(run_id)
  join lode.run r on r.run_id = u.run_id
  join lode.model d on d.model_id = r.model_id
  join known k on k.mine_id = y.mine_id
  where y.mine_id = any(mine_ids)
    and k.land_class_code <> all(d.mapped_codes)
    and (
      k.is_mapped
      or not exists (
        select from lode.mine_area a
        where a.mine_year_id = y.mine_year_id and a.land_class_code = k.land_class_code
          and a.interpreted_area_m2 > 0
      )
    );
end;

comment on function lode_api.blind_classes(integer[]) is
  'Classes of damage known in these mines that a run of a year could not have found.';
