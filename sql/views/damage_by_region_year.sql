-- Purpose: damaged area by region, year and class, in mines and outside, with the share of the region observed.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: ground counts once: of mines that overlap the one of smaller code counts it. Outside every mine count
--   open pits, dumps, tailings ponds and subsidence that runs found (land_class.counts_outside_mines) and all
--   that interpreters drew as damage; water is damage inside mines only. One row for every region, every year of
--   report_year and every damage class that networks map; a class that only interpreters know has a row where
--   one drew it. What nobody observed is null with a reason, never 0; where a part was observed
--   (observed_fraction), the area is the damage in that part.
-- Used by: `lode report region`, reports, analysts.
create view lode_api.damage_by_region_year as
select
  (o.region_id::bigint * 10000 + o.year) * 1000 + c.land_class_code as ogc_fid,
  o.layer,
  o.region_code,
  o.region_name,
  o.year,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  a.in_mine_area_m2 + a.outside_mine_area_m2 as area_m2,
  a.in_mine_area_m2,
  a.outside_mine_area_m2,
  a.interpreted_area_m2,
  a.mine_count,
  o.observed_fraction,
  case
    when a.region_area_id is not null then null
    when o.region_year_id is null then o.reason
    when o.run_count = 0 then 'only what interpreters drew is known: no current run observed it'
    else 'the models of this year do not map this class'
  end as reason
from (
  select
    r.region_id,
    l.key as layer,
    r.code as region_code,
    r.name as region_name,
    y.year,
    ry.region_year_id,
    ry.run_count,
    least(coalesce(ry.observed_area_m2 / ry.region_area_m2, 0), 1) as observed_fraction,
    w.reason
  from lode.region r
  join lode.region_layer l on l.region_layer_id = r.region_layer_id
  cross join lode_api.report_year y
  left join lode.region_year ry on ry.region_id = r.region_id and ry.year = y.year
  cross join lateral (
    select case
      when ry.region_year_id is not null then null
      when exists (
        select from lode.scene s
        where s.footprint && r.geom and s.superseded_by is null
          and s.acquired_on >= make_date(y.year, 1, 1) and s.acquired_on < make_date(y.year + 1, 1, 1)
          and exists (
            select from lode.region_part p
            where p.region_id = r.region_id and p.geom && s.footprint and st_intersects(s.footprint, p.geom)
            offset 0 -- scenes near the region first, then its parts
          )
      ) then 'a scene of this year covers a part of it, but no current run observed it'
      else 'no scene of this year covers any of it'
    end as reason
    offset 0 -- asked once by region and year, not by class
  ) w
) o
join lode.land_class c on c.damage_kind in ('excavated', 'occupied', 'subsided')
left join lode.region_area a
  on a.region_id = o.region_id and a.year = o.year and a.land_class_code = c.land_class_code
where c.is_mapped or a.region_area_id is not null;

comment on view lode_api.damage_by_region_year is
  'Damaged area by region, year and class, in mines and outside; ground counts once. Null where nothing was '
  'observed, with the reason; where a part was observed (observed_fraction), the damage in that part.';
comment on column lode_api.damage_by_region_year.ogc_fid is 'Key';
comment on column lode_api.damage_by_region_year.layer is 'Layer of regions, e.g. county';
comment on column lode_api.damage_by_region_year.region_code is 'Code of the region; unique in its layer';
comment on column lode_api.damage_by_region_year.region_name is 'Name of the region';
comment on column lode_api.damage_by_region_year.year is 'Year';
comment on column lode_api.damage_by_region_year.land_class is 'Class key';
comment on column lode_api.damage_by_region_year.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.damage_by_region_year.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.damage_by_region_year.area_m2 is
  'Geodesic area of the class in the region, in mines and outside, over the observed part, m2; null: not '
  'observed';
comment on column lode_api.damage_by_region_year.in_mine_area_m2 is
  'The part of area_m2 inside mines, m2; ground in several mines counts once';
comment on column lode_api.damage_by_region_year.outside_mine_area_m2 is
  'The part of area_m2 outside every mine, m2';
comment on column lode_api.damage_by_region_year.interpreted_area_m2 is
  'The part of area_m2 whose class an interpreter decided, m2';
comment on column lode_api.damage_by_region_year.mine_count is
  'Mines in which the class was found inside the region';
comment on column lode_api.damage_by_region_year.observed_fraction is 'Share of the region observed, 0..1';
comment on column lode_api.damage_by_region_year.reason is 'Why area_m2 is null';
