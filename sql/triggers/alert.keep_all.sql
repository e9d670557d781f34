-- Alerts go by derivation or with their mine, never by truncation: what people said of them would be lost.
create trigger keep_all before truncate on lode.alert
for each statement execute function lode_api.guard_alert_review();
