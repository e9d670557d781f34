-- Purpose: the key figures of a mine, as its report shows them at the top.
-- Units: m2 (geodesic, WGS 84), shares 0..1.
-- Rules: one row for every mine. year is the newest year in which damage was looked for; damage, outside the
--   licence and observed share are of that year. from_year and to_year are the newest pair of consecutive
--   years that observed the mine, or the one that steps over years which saw less than half of it, as in
--   lode.damage_change; new and treated are of that pair. Alerts count where their condition holds
--   and they are to be reviewed: open, or risen since their review. Every figure equals that of the view it is named after:
--   active_newly_cumulative, change_by_mine_year (kind any), outside_licence_by_mine_year, damage_alert.
-- Used by: `lode report mine`.
create view lode_api.mine_summary as
select
  m.mine_id as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  m.mineral,
  m.mining_method,
  b.area_m2 as boundary_area_m2,
  m.licence_boundary is not null as has_licence_boundary,
  y.year,
  d.area_m2 as damaged_area_m2,
  least(d.area_m2 / b.area_m2, 1) as damaged_share,
  d.unlicensed_area_m2,
  y.observed_fraction,
  h.from_year,
  h.to_year,
  h.new_area_m2,
  h.treated_area_m2,
  n.open_alert_count,
  n.severe_alert_count
from lode.mine m
cross join lateral (
  select sum(z.area_m2 order by z.area_m2) as area_m2 from lode.mine_zone z where z.mine_id = m.mine_id
) b
left join lateral (
  select my.mine_year_id, my.year, least(my.observed_area_m2 / my.boundary_area_m2, 1) as observed_fraction
  from lode.mine_year my
  where my.mine_id = m.mine_id and exists (
    select from lode.mine_area a
    join lode.land_class c on c.land_class_code = a.land_class_code
    where a.mine_year_id = my.mine_year_id and c.damage_kind in ('excavated', 'occupied', 'subsided')
  )
  order by my.year desc
  limit 1
) y on true
cross join lateral (
  select sum(a.area_m2 order by a.area_m2) as area_m2,
    sum(a.unlicensed_area_m2 order by a.unlicensed_area_m2) as unlicensed_area_m2
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  where a.mine_year_id = y.mine_year_id and c.damage_kind in ('excavated', 'occupied', 'subsided')
) d
left join lateral (
  select v.from_year, v.to_year, v.new_area_m2, v.treated_area_m2
  from lode.mine_change v
  join lode.mine_pair p on p.mine_pair_id = v.mine_pair_id and (p.is_consecutive or p.is_bridging)
  where v.mine_id = m.mine_id and v.damage_kind = 'any'
  order by v.to_year desc, p.is_bridging desc, v.from_year desc
  limit 1
) h on true
cross join lateral (
  select count(*)::integer as open_alert_count,
    count(*) filter (where a.level = 'severe')::integer as severe_alert_count
  from lode.alert a
  left join (
    select u.kind, min(u.threshold_m2) filter (where u.threshold_m2 > 0) as least_m2
    from lode.alert_rule u
    where u.is_enabled
    group by u.kind
  ) k on k.kind = a.kind
  where a.mine_id = m.mine_id and a.is_current and (a.state = 'open' or lode_api.has_risen(
    a.level, a.reviewed_level, a.area_m2, a.reviewed_area_m2, a.unreviewed_area_m2, k.least_m2
  ))
) n;

comment on view lode_api.mine_summary is 'Key figures of each mine: damage, change, licence and open alerts.';
comment on column lode_api.mine_summary.ogc_fid is 'Key: mine_id';
comment on column lode_api.mine_summary.mine_code is 'Code of the mine';
comment on column lode_api.mine_summary.mine_name is 'Name of the mine';
comment on column lode_api.mine_summary.mineral is 'What is mined';
comment on column lode_api.mine_summary.mining_method is 'How it is mined';
comment on column lode_api.mine_summary.boundary_area_m2 is 'Geodesic area of the mine, m2';
comment on column lode_api.mine_summary.has_licence_boundary is 'A licence boundary of the mine is stored';
comment on column lode_api.mine_summary.year is
  'Newest year in which damage was looked for; null: none';
comment on column lode_api.mine_summary.damaged_area_m2 is
  'Damage of all kinds in that year, over the observed part, m2; null: never observed';
comment on column lode_api.mine_summary.damaged_share is 'The same as a share of boundary_area_m2, 0..1';
comment on column lode_api.mine_summary.unlicensed_area_m2 is
  'The part of that damage outside the licence, m2; null: never observed, or no licence boundary is stored';
comment on column lode_api.mine_summary.observed_fraction is
  'Share of the mine observed in that year, 0..1; null: never observed';
comment on column lode_api.mine_summary.from_year is
  'Earlier year of the newest pair that lode.damage_change shows; null: no two years observed the mine';
comment on column lode_api.mine_summary.to_year is 'Later year of that pair';
comment on column lode_api.mine_summary.new_area_m2 is
  'Damaged in the later year and not in the earlier, over what both observed, m2';
comment on column lode_api.mine_summary.treated_area_m2 is
  'Damaged in the earlier year and not in the later, over what both observed, m2';
comment on column lode_api.mine_summary.open_alert_count is
  'Alerts that hold and are to be reviewed: open, or risen since their review';
comment on column lode_api.mine_summary.severe_alert_count is 'Of them, severe ones';
