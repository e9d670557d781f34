-- Purpose: under which name a class of land cover is assessed: its own, or that of its legal kind of damage.
-- Rules: two rows a class. By kind, treated ground and ground without damage are one: undamaged.
-- Used by: lode_api.sample_reference, lode_api.error_matrix, lode_api.area_uncertainty, `lode assess`.
create view lode_api.assessed_class as
select
  c.land_class_code as ogc_fid,
  'class' as stratified_by,
  c.land_class_code,
  c.land_class_code as class_number,
  c.key as class_key,
  c.name_zh as class_name_zh
from lode.land_class c
union all
select
  1000 + c.land_class_code,
  'kind',
  c.land_class_code,
  k.class_number,
  k.class_key,
  k.class_name_zh
from lode.land_class c
join (
  values (1, 'excavated', '挖损'), (2, 'occupied', '压占'), (3, 'subsided', '塌陷'), (4, 'undamaged', '未损毁')
) as k(class_number, class_key, class_name_zh)
  on k.class_key = case when c.damage_kind in ('treated', 'none') then 'undamaged' else c.damage_kind end;

comment on view lode_api.assessed_class is
  'Under which name a class of land cover is assessed: its own, or that of its legal kind of damage.';
comment on column lode_api.assessed_class.ogc_fid is 'Key: the class code, by kind plus 1000';
comment on column lode_api.assessed_class.stratified_by is 'class or kind, as in lode.assessment';
comment on column lode_api.assessed_class.land_class_code is 'Class of land cover';
comment on column lode_api.assessed_class.class_number is 'Number of the name it is assessed under';
comment on column lode_api.assessed_class.class_key is
  'Class key; by kind excavated, occupied, subsided or undamaged';
comment on column lode_api.assessed_class.class_name_zh is 'The same, Chinese';
