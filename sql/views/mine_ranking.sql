-- Purpose: which mines damaged most new ground between two consecutive years, and how sure that is.
-- Units: m2 (geodesic, WGS 84), shares and probabilities 0..1.
-- Rules: one row for every mine and pair of consecutive years that observed it, and for pairs that step over
--   years which saw less than half of it; mines whose areas are equal to the m2 share a rank. share is over
--   the new damage of all mines of the pair, counted once where mines overlap. confidence is the mean
--   probability, weighted by area, of what is damaged in the mine in the later year: of each polygon what its
--   network gave it (0.5 where a run stored none), 1 where an interpreter decided. A mine that was observed
--   in part (observed_fraction) may deserve a higher rank.
-- Used by: `lode report ranking`, inspectors who choose where to go.
create view lode_api.mine_ranking as
select
  (c.mine_id::bigint * 10000 + c.from_year) * 1000 + (c.to_year - c.from_year) as ogc_fid,
  c.rank,
  c.from_year,
  c.to_year,
  m.code as mine_code,
  m.name as mine_name,
  m.mineral,
  c.new_area_m2,
  c.new_area_m2 / nullif(c.all_new_area_m2, 0) as share,
  d.mean_probability as confidence,
  c.observed_fraction,
  d.area_m2 as damaged_area_m2
from (
  select
    h.mine_id,
    h.from_year,
    h.to_year,
    h.new_area_m2,
    p.observed_area_m2 / nullif(p.observed_area_m2 + p.unobserved_area_m2, 0) as observed_fraction,
    rank() over (partition by h.from_year, h.to_year order by round(h.new_area_m2) desc)::integer as rank,
    sum(h.exclusive_new_area_m2) over (
      partition by h.from_year, h.to_year order by h.exclusive_new_area_m2
      rows between unbounded preceding and unbounded following
    ) as all_new_area_m2
  from lode.mine_change h
  join lode.mine_pair p on p.mine_pair_id = h.mine_pair_id and (p.is_consecutive or p.is_bridging)
  where h.damage_kind = 'any'
) c
join lode.mine m on m.mine_id = c.mine_id
left join lode.mine_year y on y.mine_id = c.mine_id and y.year = c.to_year
left join (
  select a.mine_year_id, sum(a.area_m2 order by a.area_m2) as area_m2,
    sum(a.area_m2 * a.mean_probability order by a.area_m2 * a.mean_probability)
      / nullif(sum(a.area_m2 order by a.area_m2), 0) as mean_probability
  from lode.mine_area a
  join lode.land_class k on k.land_class_code = a.land_class_code
  where k.damage_kind in ('excavated', 'occupied', 'subsided')
  group by a.mine_year_id
) d on d.mine_year_id = y.mine_year_id;

comment on view lode_api.mine_ranking is
  'Mines by their new damage between consecutive years, with share and confidence.';
comment on column lode_api.mine_ranking.ogc_fid is 'Key';
comment on column lode_api.mine_ranking.rank is '1 has most new damage of its pair of years';
comment on column lode_api.mine_ranking.from_year is 'Earlier year';
comment on column lode_api.mine_ranking.to_year is 'Later year';
comment on column lode_api.mine_ranking.mine_code is 'Code of the mine';
comment on column lode_api.mine_ranking.mine_name is 'Name of the mine';
comment on column lode_api.mine_ranking.mineral is 'What is mined';
comment on column lode_api.mine_ranking.new_area_m2 is
  'Damaged in the later year and not in the earlier, over what both observed, m2';
comment on column lode_api.mine_ranking.share is
  'Share of the new damage of all mines of the pair of years, 0..1; null: there is none';
comment on column lode_api.mine_ranking.confidence is
  'Mean probability of what is damaged here in the later year, by area, 0..1; drawn ground 1; null: nothing';
comment on column lode_api.mine_ranking.observed_fraction is
  'Share of the mine that both years observed, 0..1';
comment on column lode_api.mine_ranking.damaged_area_m2 is
  'Damage of all kinds in the later year, over what that year observed, m2';
