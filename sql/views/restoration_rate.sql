-- Purpose: how much of the ground that a mine ever damaged is no longer damaged: total, restored, rate.
-- Units: m2 (geodesic, WGS 84), rate 0..1.
-- Rules: total is the ground that this or an earlier year saw damaged (cumulative). Treated is what of it
--   this year observed and found undamaged: total less what is still damaged less what of it this year did
--   not observe, or could not judge because its models do not map the class of that damage. rate = treated / total. Nothing unseen counts as treated; where a part was not observed or judged,
--   treated and rate are the least they can be, and reason says so. Ground that interpreters
--   drew as treated in this year stands beside it, whether or not any year saw it damaged. Vegetation that
--   came back without anybody's work counts as well: images do not tell why. Null where the year did not
--   observe the mine.
-- Used by: `lode report mine`, reports, analysts.
create view lode_api.restoration_rate as
select
  o.ogc_fid,
  o.mine_code,
  o.mine_name,
  o.year,
  my.cumulative_area_m2 as cumulative_damage_area_m2,
  t.area_m2 as treated_area_m2,
  d.treated_area_m2 as interpreted_treated_area_m2,
  case -- least() would pass over a null
    when my.cumulative_area_m2 > 0 and t.area_m2 is not null then least(t.area_m2 / my.cumulative_area_m2, 1)
  end as restoration_rate,
  o.observed_fraction,
  case
    when o.mine_year_id is null then o.reason
    when d.damaged_area_m2 is null then 'nobody looked for damage in this year'
    when my.cumulative_area_m2 = 0 then 'no damage was ever seen'
    when my.unobserved_damage_area_m2 > 1 then 'at least; ' || concat_ws('; ', o.reason,
      case when my.blind_geom is not null then
        'the models of this year do not map every class of damage'
      end)
  end as reason
from lode_api.observation_by_mine_year o
left join lode.mine_year my on my.mine_year_id = o.mine_year_id
left join (
  select
    a.mine_year_id,
    sum(a.area_m2 order by a.area_m2)
      filter (where c.damage_kind in ('excavated', 'occupied', 'subsided')) as damaged_area_m2,
    coalesce(sum(a.area_m2 order by a.area_m2) filter (where c.damage_kind = 'treated'), 0) as treated_area_m2
  from lode.mine_area a
  join lode.land_class c on c.land_class_code = a.land_class_code
  group by a.mine_year_id
) d on d.mine_year_id = my.mine_year_id
cross join lateral (
  select case
    when d.damaged_area_m2 is not null
      then greatest(
        my.cumulative_area_m2 - d.damaged_area_m2 - my.unobserved_damage_area_m2, 0
      )
  end as area_m2
) t;

comment on view lode_api.restoration_rate is
  'Ground ever damaged, what of it was observed undamaged, and the rate, by mine and year. Unobserved ground '
  'never counts as treated: where a part was not observed, treated and rate are the least they can be.';
comment on column lode_api.restoration_rate.ogc_fid is 'Key';
comment on column lode_api.restoration_rate.mine_code is 'Code of the mine';
comment on column lode_api.restoration_rate.mine_name is 'Name of the mine';
comment on column lode_api.restoration_rate.year is 'Year';
comment on column lode_api.restoration_rate.cumulative_damage_area_m2 is
  'Ground that this or an earlier year saw damaged, m2; null: not observed';
comment on column lode_api.restoration_rate.treated_area_m2 is
  'What of it this year observed undamaged, m2: cumulative less still damaged less unobserved; null: see '
  'reason';
comment on column lode_api.restoration_rate.interpreted_treated_area_m2 is
  'Ground that interpreters drew as treated in this year, m2, whether or not any year saw it damaged';
comment on column lode_api.restoration_rate.restoration_rate is
  'treated_area_m2 / cumulative_damage_area_m2, 0..1; null: see reason';
comment on column lode_api.restoration_rate.observed_fraction is 'Share of the mine observed, 0..1';
comment on column lode_api.restoration_rate.reason is
  'Why the rate is null, or why it is only the least it can be';
