-- Purpose: the published polygons that stand for their scene, with class names and colours.
-- Units: m2 (geodesic, WGS 84), probability 0..1. CRS: EPSG:4326.
-- Used by: QGIS (temporal controller through start_date and end_date), tile and feature servers.
create view lode_api.landcover_map as
select
  l.landcover_id as ogc_fid,
  l.run_id,
  s.product,
  s.acquired_on,
  extract(year from l.start_date)::integer as year,
  c.land_class_code,
  c.key as land_class,
  c.name as land_class_name,
  c.name_zh as land_class_name_zh,
  c.damage_kind,
  c.colour,
  l.area_m2,
  l.mean_probability,
  l.start_date,
  l.end_date,
  l.geom::geometry(MultiPolygon, 4326) as geom
from lode.landcover l
join lode.run r on r.run_id = l.run_id and r.is_current
join lode.scene s on s.scene_id = r.scene_id and s.superseded_by is null
join lode.land_class c on c.land_class_code = l.land_class_code;

comment on view lode_api.landcover_map is
  'Land cover polygons of every scene''s current run. Scenes of one year may overlap here; areas per mine '
  'count ground once. EPSG:4326.';
comment on column lode_api.landcover_map.ogc_fid is 'Key: landcover_id';
comment on column lode_api.landcover_map.run_id is 'The run that published it';
comment on column lode_api.landcover_map.product is 'The scene it was seen in';
comment on column lode_api.landcover_map.acquired_on is 'Day the scene was acquired (UTC)';
comment on column lode_api.landcover_map.year is 'Year it stands for';
comment on column lode_api.landcover_map.land_class_code is 'Class code';
comment on column lode_api.landcover_map.land_class is 'Class key';
comment on column lode_api.landcover_map.land_class_name is 'Class, English';
comment on column lode_api.landcover_map.land_class_name_zh is 'Class, Chinese';
comment on column lode_api.landcover_map.damage_kind is
  'Legal kind of damage the class has inside a mine; water elsewhere is no damage';
comment on column lode_api.landcover_map.colour is 'Map colour, #rrggbb';
comment on column lode_api.landcover_map.area_m2 is 'Geodesic area on WGS 84, m2';
comment on column lode_api.landcover_map.mean_probability is 'Mean probability of the class, 0..1';
comment on column lode_api.landcover_map.start_date is 'First day of the year it stands for';
comment on column lode_api.landcover_map.end_date is 'First day of the next year (excluded)';
comment on column lode_api.landcover_map.geom is 'Outline, EPSG:4326';
