-- Purpose: new and treated damage of all mines between two years, by kind, with shares: the table a yearly
--   report opens with.
-- Units: m2 and km2 (geodesic, WGS 84), shares 0..1.
-- Rules: as change_by_mine_year; ground that lies in several mines counts once. A pair of years sums the
--   mines that both years observed (mine_count); observed_fraction is over the ground of all mines. Years
--   that are compared only because one between them saw too little of a mine have no row of their own. Null:
--   nobody looked for the kind in either year.
-- Used by: `lode report change`, reports.
create view lode_api.change_by_year as
select
  (p.from_year * 1000 + (p.to_year - p.from_year)) * 10 + k.number as ogc_fid,
  p.from_year,
  p.to_year,
  k.kind,
  c.new_area_m2,
  c.new_area_m2 / 1e6 as new_area_km2,
  c.new_area_m2 / nullif(t.new_area_m2, 0) as new_share,
  c.treated_area_m2,
  c.treated_area_m2 / 1e6 as treated_area_km2,
  c.treated_area_m2 / nullif(t.treated_area_m2, 0) as treated_share,
  c.new_area_m2 - c.treated_area_m2 as net_area_m2,
  p.mine_count,
  least(p.observed_area_m2 / g.area_m2, 1) as observed_fraction
from (
  select
    q.from_year,
    q.to_year,
    count(*)::integer as mine_count,
    sum(q.exclusive_observed_area_m2 order by q.exclusive_observed_area_m2) as observed_area_m2
  from lode.mine_pair q
  group by q.from_year, q.to_year
  having bool_or(q.is_consecutive) or exists (
    select from lode.report_period r where (r.from_year, r.to_year) = (q.from_year, q.to_year)
  )
) p
cross join (values (0, 'any'), (1, 'excavated'), (2, 'occupied'), (3, 'subsided')) as k(number, kind)
cross join (select sum(z.area_m2 order by z.area_m2) as area_m2 from lode.mine_zone z where z.is_exclusive) g
left join (
  select
    d.from_year,
    d.to_year,
    d.damage_kind,
    sum(d.exclusive_new_area_m2 order by d.exclusive_new_area_m2) as new_area_m2,
    sum(d.exclusive_treated_area_m2 order by d.exclusive_treated_area_m2) as treated_area_m2
  from lode.mine_change d
  group by d.from_year, d.to_year, d.damage_kind
) c on c.from_year = p.from_year and c.to_year = p.to_year and c.damage_kind = k.kind
left join (
  select
    d.from_year,
    d.to_year,
    sum(d.exclusive_new_area_m2 order by d.exclusive_new_area_m2) as new_area_m2,
    sum(d.exclusive_treated_area_m2 order by d.exclusive_treated_area_m2) as treated_area_m2
  from lode.mine_change d
  where d.damage_kind = 'any'
  group by d.from_year, d.to_year
) t on t.from_year = p.from_year and t.to_year = p.to_year;

comment on view lode_api.change_by_year is
  'New and treated damage of all mines by pair of years and kind, with the share of each kind; ground in '
  'several mines counts once.';
comment on column lode_api.change_by_year.ogc_fid is 'Key';
comment on column lode_api.change_by_year.from_year is 'Earlier year';
comment on column lode_api.change_by_year.to_year is 'Later year';
comment on column lode_api.change_by_year.kind is
  'Legal kind: excavated, occupied or subsided; any: all of them together';
comment on column lode_api.change_by_year.new_area_m2 is
  'Of this kind in the later year, not damaged in the earlier, m2; null: nobody looked for the kind';
comment on column lode_api.change_by_year.new_area_km2 is 'new_area_m2 in km2';
comment on column lode_api.change_by_year.new_share is 'Share of the new damage of all kinds, 0..1';
comment on column lode_api.change_by_year.treated_area_m2 is
  'Of this kind in the earlier year, not damaged in the later, m2; null: nobody looked for the kind';
comment on column lode_api.change_by_year.treated_area_km2 is 'treated_area_m2 in km2';
comment on column lode_api.change_by_year.treated_share is 'Share of the treated damage of all kinds, 0..1';
comment on column lode_api.change_by_year.net_area_m2 is 'New less treated, m2';
comment on column lode_api.change_by_year.mine_count is 'Mines that both years observed, at least in part';
comment on column lode_api.change_by_year.observed_fraction is
  'Share of the ground of all mines that both years observed, 0..1';
