-- Purpose: with which earlier year each year of a mine is compared for alerts: one pair of years for each.
-- Rules: of the consecutive pair and the one that steps over years that saw little of the mine, the pair that
--   observed more ground in common; within 1 % of the same the consecutive one. Periods of reports raise no
--   alerts.
-- Units: m2 (geodesic, WGS 84).
-- Used by: lode_api.derive_new_damage, derive_tailings_growth.
create function lode_api.alert_pairs(mine_ids integer[], years integer[])
returns table (mine_pair_id integer, mine_id integer, from_year integer, to_year integer)
language sql stable
begin atomic
  select distinct on (p.mine_id, p.to_year) p.mine_pair_id, p.mine_id, p.from_year, p.to_year
  from (
    select c.mine_pair_id, c.mine_id, c.from_year, c.to_year, c.is_consecutive, c.observed_area_m2,
      max(c.observed_area_m2) over (partition by c.mine_id, c.to_year) as most_m2
    from lode_api.derive_alert_since(mine_ids, years) t
    join lode.mine_pair c on c.mine_id = t.mine_id and c.to_year >= t.since
    where c.is_consecutive or c.is_bridging
  ) p
  where p.observed_area_m2 >= 0.99 * p.most_m2
  order by p.mine_id, p.to_year, p.is_consecutive desc, p.observed_area_m2 desc, p.from_year desc;
end;

comment on function lode_api.alert_pairs(integer[], integer[]) is
  'The pair of years by which each year of these mines is judged for alerts.';
