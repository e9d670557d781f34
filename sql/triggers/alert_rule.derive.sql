-- Alerts follow their rules.
create trigger derive after insert or update or delete or truncate on lode.alert_rule
for each statement execute function lode_api.alert_rule_changed();
