-- Purpose: alerts follow the rules that raise them.
-- Used by: the trigger on lode.alert_rule.
create function lode_api.alert_rule_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  perform lode_api.lock_accounts();
  perform lode_api.derive_alerts((select array_agg(m.mine_id) from lode.mine m), array[0]);
  return null;
end
$$;


comment on function lode_api.alert_rule_changed() is
  'Trigger: alerts follow the rules that raise them.';
