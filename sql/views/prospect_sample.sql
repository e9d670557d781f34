-- Purpose: where the patches lie that networks learned from, with label and part.
-- CRS: EPSG:4326.
-- Used by: QGIS.
create view lode_api.prospect_sample as
select
  p.prospect_patch_id as ogc_fid,
  t.name as set_name,
  p.split,
  p.is_positive,
  p.positive_share,
  p.block_key,
  p.geom
from lode.prospect_patch p
join lode.prospect_set t on t.prospect_set_id = p.prospect_set_id;

comment on view lode_api.prospect_sample is
  'Patches of ground that networks learn from where ore lies, with label and part. EPSG:4326.';
comment on column lode_api.prospect_sample.ogc_fid is 'Key: prospect_patch_id';
comment on column lode_api.prospect_sample.set_name is 'The set';
comment on column lode_api.prospect_sample.split is 'train, validation or test';
comment on column lode_api.prospect_sample.is_positive is 'Whether it counts as ore-bearing';
comment on column lode_api.prospect_sample.positive_share is 'Share of its cells near a deposit, 0..1';
comment on column lode_api.prospect_sample.block_key is 'Block of ground that is held out as a whole';
comment on column lode_api.prospect_sample.geom is 'Outline, EPSG:4326';
