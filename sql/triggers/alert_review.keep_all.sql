-- Reviews of alerts are never truncated.
create trigger keep_all before truncate on lode.alert_review
for each statement execute function lode_api.guard_alert_review();
