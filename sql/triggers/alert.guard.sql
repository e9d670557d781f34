-- People set state and note of an alert, nothing else.
create trigger guard before insert or update or delete on lode.alert
for each row execute function lode_api.guard_alert();
