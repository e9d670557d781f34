-- Purpose: whether an alert that was reviewed says more now than its reviewer saw.
-- Rules: its level is higher; or its area grew by more than a tenth; or of its ground more than a tenth of the
--   reviewed area, or enough to raise an alert by itself (least_m2), lies outside what was reviewed. Slivers
--   along edges are not in unreviewed_m2: another scene draws the same pit a little differently.
-- Units: m2 (geodesic, WGS 84). Null for an alert that was not reviewed. least_m2 null: no rule has an area.
-- Used by: view lode_api.damage_alert.
create function lode_api.has_risen(
  level text, reviewed_level text, area_m2 double precision, reviewed_area_m2 double precision,
  unreviewed_m2 double precision, least_m2 double precision
)
returns boolean
language sql immutable
begin atomic
  select lode_api.alert_level_rank(level) > lode_api.alert_level_rank(reviewed_level)
    or area_m2 > 1.1 * reviewed_area_m2
    or unreviewed_m2 > 0.1 * reviewed_area_m2
    or coalesce(unreviewed_m2 >= least_m2, false);
end;

comment on function lode_api.has_risen(
  text, text, double precision, double precision, double precision, double precision
) is 'Whether an alert that was reviewed says more now than its reviewer saw; null: not reviewed.';
