-- Purpose: whether a mine damaged protected ground in a year, or why nobody can say.
-- Units: shares 0..1.
-- Rules: one row for every mine and year of report_year. finding tells apart what looks alike in a table:
--   `no protected layer` (no protected region is stored, so nothing is known), `apart` (the mine has no ground
--   in a protected region), `not observed`, `none found` (looked for and not found where it was observed),
--   `found` (sensitive_overlap has the areas; those of several regions may be the same ground and are not
--   added here).
-- Used by: `lode report mine`, `lode report region`, inspectors.
create view lode_api.sensitive_overlap_by_mine_year as
select
  o.ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  f.finding,
  p.layer_count,
  coalesce(x.region_count, 0) as region_count,
  coalesce(h.region_count, 0) as damaged_region_count,
  o.observed_fraction,
  case
    when f.finding = 'no protected layer' then 'no protected region is stored'
    when f.finding = 'not observed' then coalesce(o.reason, 'nobody looked for damage in this year')
    when f.finding = 'apart' then null
    when k.mapped_count < g.mapped_count then 'the models of this year do not map every class of damage'
    else o.reason
  end as reason
from lode_api.observation_by_mine_year o
cross join (
  select count(distinct l.region_layer_id)::integer as layer_count
  from lode.region_layer l
  join lode.region r on r.region_layer_id = l.region_layer_id
  where l.is_protected
) p
cross join (
  select count(*) as mapped_count
  from lode.land_class c
  where c.is_mapped and c.damage_kind in ('excavated', 'occupied', 'subsided')
) g
left join (
  select a.mine_year_id, count(*) filter (where c.is_mapped) as mapped_count
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  where c.damage_kind in ('excavated', 'occupied', 'subsided')
  group by a.mine_year_id
) k on k.mine_year_id = o.mine_year_id
left join ( -- by all mines at once: asked mine by mine it takes as long as all
  select i.mine_id, count(*)::integer as region_count
  from lode.region_layer l
  join lode.region r on r.region_layer_id = l.region_layer_id
  join lode.region_mine i on i.region_id = r.region_id
  where l.is_protected
  group by i.mine_id
) x on x.mine_id = o.mine_id
left join (
  select i.mine_id, a.year, count(distinct i.region_id)::integer as region_count
  from lode.region_layer l
  join lode.region r on r.region_layer_id = l.region_layer_id
  join lode.region_mine i on i.region_id = r.region_id
  join lode.region_mine_area a on a.region_mine_id = i.region_mine_id
  where l.is_protected
  group by i.mine_id, a.year
) h on h.mine_id = o.mine_id and h.year = o.year
cross join lateral (
  select case
    when p.layer_count = 0 then 'no protected layer'
    when x.region_count is null then 'apart'
    when k.mine_year_id is null then 'not observed'
    when h.region_count > 0 then 'found'
    else 'none found'
  end as finding
) f;

comment on view lode_api.sensitive_overlap_by_mine_year is
  'Whether a mine damaged protected ground, by year: found, none found, not observed, apart from protected '
  'ground, or no protected region stored.';
comment on column lode_api.sensitive_overlap_by_mine_year.ogc_fid is 'Key';
comment on column lode_api.sensitive_overlap_by_mine_year.mine_code is 'Code of the mine';
comment on column lode_api.sensitive_overlap_by_mine_year.mine_name is 'Name of the mine';
comment on column lode_api.sensitive_overlap_by_mine_year.year is 'Year';
comment on column lode_api.sensitive_overlap_by_mine_year.finding is
  'found; none found (where it was observed); not observed; apart (no ground of the mine is protected); no '
  'protected layer (no protected region is stored)';
comment on column lode_api.sensitive_overlap_by_mine_year.layer_count is
  'Protected layers that hold regions';
comment on column lode_api.sensitive_overlap_by_mine_year.region_count is
  'Protected regions in which the mine has ground';
comment on column lode_api.sensitive_overlap_by_mine_year.damaged_region_count is
  'Of them, regions where damage of the mine was found in this year';
comment on column lode_api.sensitive_overlap_by_mine_year.observed_fraction is
  'Share of the mine observed, 0..1';
comment on column lode_api.sensitive_overlap_by_mine_year.reason is
  'Why nothing, or not everything, is known; null: all of the mine was observed for every class, or it is '
  'apart';
