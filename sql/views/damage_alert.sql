-- Purpose: alerts of damage with the names of their mines, ranked: what an inspector opens, confirms, rejects.
-- Units: m2 (geodesic, WGS 84), share and confidence 0..1. CRS: EPSG:4326.
-- Rules: is_to_review marks what an inspector looks at: open alerts, and reviewed ones that have risen since.
--   rank counts within a year, by level, then by area times confidence; rejected alerts that did not rise and
--   those that no longer hold have none. state and note can be edited here as in lode.alert, nothing else can.
-- Used by: `lode alert`, QGIS, reports.
create view lode_api.damage_alert as
select
  a.alert_id as ogc_fid,
  m.code as mine_code,
  m.name as mine_name,
  a.kind,
  a.level,
  lode_api.alert_level_rank(a.level) as level_rank,
  r.rank,
  a.to_year as year,
  a.from_year,
  a.area_m2,
  a.share,
  a.confidence,
  a.agreeing_scene_count,
  a.reason,
  a.reason_zh,
  a.state,
  a.reviewed_by,
  a.reviewed_at,
  a.note,
  a.is_current,
  a.is_current and a.state <> 'open' and lode_api.has_risen(
    a.level, a.reviewed_level, a.area_m2, a.reviewed_area_m2, a.unreviewed_area_m2, k.least_m2
  ) as has_risen_since_review,
  a.is_current and (a.state = 'open' or lode_api.has_risen(
    a.level, a.reviewed_level, a.area_m2, a.reviewed_area_m2, a.unreviewed_area_m2, k.least_m2
  )) as is_to_review,
  a.reviewed_area_m2,
  a.unreviewed_area_m2,
  a.run_ids,
  a.first_raised_at,
  a.updated_at,
  a.start_date,
  a.end_date,
  a.geom::geometry(MultiPolygon, 4326) as geom
from lode.alert a
join lode.mine m on m.mine_id = a.mine_id
left join (
  select u.kind, min(u.threshold_m2) filter (where u.threshold_m2 > 0) as least_m2
  from lode.alert_rule u
  where u.is_enabled
  group by u.kind
) k on k.kind = a.kind
-- Ranked beside the alerts and not over them, so that a map's box filter still finds the index.
left join (
  select b.alert_id, row_number() over (
    partition by b.to_year
    order by lode_api.alert_level_rank(b.level) desc, b.area_m2 * b.confidence desc, b.mine_id, b.kind
  )::integer as rank
  from lode.alert b
  left join (
    select u.kind, min(u.threshold_m2) filter (where u.threshold_m2 > 0) as least_m2
    from lode.alert_rule u
    where u.is_enabled
    group by u.kind
  ) k on k.kind = b.kind
  where b.is_current and (b.state <> 'rejected' or lode_api.has_risen(
    b.level, b.reviewed_level, b.area_m2, b.reviewed_area_m2, b.unreviewed_area_m2, k.least_m2
  ))
) r on r.alert_id = a.alert_id
where a.is_current or a.state <> 'open'; -- others are gone at the end of their transaction

create trigger review instead of update on lode_api.damage_alert
for each row execute function lode_api.review_damage_alert();

comment on view lode_api.damage_alert is
  'Alerts: new damage above a threshold, damage outside a licence, growth of a tailings pond, with level, '
  'reason and numbers. state (open, confirmed, rejected) and note may be edited. EPSG:4326.';
comment on column lode_api.damage_alert.ogc_fid is 'Key: alert_id';
comment on column lode_api.damage_alert.mine_code is 'Code of the mine';
comment on column lode_api.damage_alert.mine_name is 'Name of the mine';
comment on column lode_api.damage_alert.kind is 'new_damage, outside_licence or tailings_growth';
comment on column lode_api.damage_alert.level is 'notice, warning or severe, by lode.alert_rule';
comment on column lode_api.damage_alert.level_rank is 'Level as a number: 1 notice, 2 warning, 3 severe';
comment on column lode_api.damage_alert.rank is
  'Place among the alerts of its year, 1 first, by level and then area times confidence; null: rejected and '
  'not risen since, or its condition no longer holds';
comment on column lode_api.damage_alert.year is 'Year it was seen in';
comment on column lode_api.damage_alert.from_year is
  'Earlier year it is compared with; null: damage outside the licence, which is not compared';
comment on column lode_api.damage_alert.area_m2 is 'Area of its ground, m2 (geodesic, WGS 84)';
comment on column lode_api.damage_alert.share is
  'New damage: of the mine''s area; outside the licence: of the mine''s damage of that year; growth of a '
  'tailings pond: of the pond before; null: there was none, or nobody looked for one. 0..1, for ponds any size';
comment on column lode_api.damage_alert.confidence is
  'How sure it is that the ground is what the alert says, 0..1; rises when another scene agrees';
comment on column lode_api.damage_alert.agreeing_scene_count is
  'Further scenes of the year that agree; the next observed year counts as one';
comment on column lode_api.damage_alert.reason is 'Why it was raised, with the numbers, English';
comment on column lode_api.damage_alert.reason_zh is 'Why it was raised, with the numbers, Chinese';
comment on column lode_api.damage_alert.state is 'open, confirmed or rejected; may be edited';
comment on column lode_api.damage_alert.reviewed_by is
  'Database role that confirmed or rejected it; null: nobody did';
comment on column lode_api.damage_alert.reviewed_at is
  'When it was last confirmed or rejected; null: it is open';
comment on column lode_api.damage_alert.note is
  'What the inspector says of it; may be edited; null: nothing was written';
comment on column lode_api.damage_alert.is_current is 'Its condition still holds';
comment on column lode_api.damage_alert.has_risen_since_review is
  'It was reviewed, and now its level is higher, its area larger by more than a tenth, or a tenth of that area '
  'or enough for an alert lies outside what was reviewed: look again; the review stays';
comment on column lode_api.damage_alert.is_to_review is
  'It holds, and is open or has risen since its review: what an inspector looks at';
comment on column lode_api.damage_alert.reviewed_area_m2 is
  'Area it had when it was reviewed, m2; null: not reviewed';
comment on column lode_api.damage_alert.unreviewed_area_m2 is
  'Part of its ground outside what was reviewed (lode.alert_review), without slivers, m2; null: not reviewed';
comment on column lode_api.damage_alert.run_ids is
  'Runs that found the ground (lode_api.run_history); none: interpreters did';
comment on column lode_api.damage_alert.first_raised_at is 'When it was raised first';
comment on column lode_api.damage_alert.updated_at is 'When what is derived of it last changed';
comment on column lode_api.damage_alert.start_date is 'First day it is shown for';
comment on column lode_api.damage_alert.end_date is 'First day it is no longer shown for';
comment on column lode_api.damage_alert.geom is 'The ground it speaks of, EPSG:4326';
