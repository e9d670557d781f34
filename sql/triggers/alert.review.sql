-- Who reviewed an alert, when, and what it then said; fires after alert.guard, whose name comes first.
create trigger review before update of state, note on lode.alert
for each row execute function lode_api.stamp_alert();
