-- Reviews of alerts are written by the database, never changed and never deleted.
create trigger guard before insert or update or delete on lode.alert_review
for each row execute function lode_api.guard_alert_review();
