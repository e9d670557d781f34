-- Purpose: levels of alerts as numbers that can be compared: 1 notice, 2 warning, 3 severe.
-- Used by: lode_api.derive_alerts, view lode_api.damage_alert.
create function lode_api.alert_level_rank(level text) returns integer
language sql immutable
begin atomic
  select array_position(array['notice', 'warning', 'severe'], level);
end;

comment on function lode_api.alert_level_rank(text) is
  'Level of an alert as a number: 1 notice, 2 warning, 3 severe.';
