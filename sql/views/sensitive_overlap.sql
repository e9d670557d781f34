-- Purpose: damage of mines on protected ground: farmland, ecological red lines, reserves.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every protected region (of a layer with is_protected), mine, year and class of damage that
--   meet. A mine answers for all its ground, so ground in two mines stands in a row of each: areas of several
--   mines must not be added. What nobody observed is in no row: see damage_by_region_year.
-- Used by: `lode report region`, inspectors.
create view lode_api.sensitive_overlap as
select
  a.region_mine_area_id as ogc_fid,
  l.key as layer,
  r.code as region_code,
  r.name as region_name,
  m.code as mine_code,
  m.name as mine_name,
  a.year,
  c.key as land_class,
  c.name_zh as land_class_name_zh,
  c.damage_kind as kind,
  a.area_m2,
  ( -- for the rows that are asked for only
    select least(a.area_m2 / nullif(sum(b.area_m2 order by b.area_m2), 0), 1)
    from lode.mine_year y
    join lode.mine_area b on b.mine_year_id = y.mine_year_id
    join lode.land_class k on k.land_class_code = b.land_class_code
    where y.mine_id = x.mine_id and y.year = a.year and k.damage_kind in ('excavated', 'occupied', 'subsided')
  ) as share_of_mine_damage,
  least(a.area_m2 / ry.region_area_m2, 1) as share_of_region
from lode.region_layer l
join lode.region r on r.region_layer_id = l.region_layer_id
join lode.region_mine x on x.region_id = r.region_id
join lode.region_mine_area a on a.region_mine_id = x.region_mine_id
join lode.land_class c on c.land_class_code = a.land_class_code
join lode.mine m on m.mine_id = x.mine_id
join lode.region_year ry on ry.region_id = r.region_id and ry.year = a.year
where l.is_protected;

comment on view lode_api.sensitive_overlap is
  'Damage of mines on protected ground by region, mine, year and class. Ground in two mines stands in a row of '
  'each.';
comment on column lode_api.sensitive_overlap.ogc_fid is 'Key';
comment on column lode_api.sensitive_overlap.layer is 'Protected layer, e.g. farmland';
comment on column lode_api.sensitive_overlap.region_code is 'Code of the protected region';
comment on column lode_api.sensitive_overlap.region_name is 'Name of the protected region';
comment on column lode_api.sensitive_overlap.mine_code is 'Code of the mine';
comment on column lode_api.sensitive_overlap.mine_name is 'Name of the mine';
comment on column lode_api.sensitive_overlap.year is 'Year';
comment on column lode_api.sensitive_overlap.land_class is 'Class key';
comment on column lode_api.sensitive_overlap.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.sensitive_overlap.kind is 'Legal kind: excavated, occupied or subsided';
comment on column lode_api.sensitive_overlap.area_m2 is
  'Geodesic area of the class inside mine and protected region, m2';
comment on column lode_api.sensitive_overlap.share_of_mine_damage is
  'Part of the mine''s damage of that year that this is, 0..1';
comment on column lode_api.sensitive_overlap.share_of_region is 'Part of the protected region that this is, 0..1';
