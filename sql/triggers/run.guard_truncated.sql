-- Areas cannot follow when lode.run is emptied at once.
create trigger guard_truncated before truncate on lode.run
for each statement execute function lode_api.guard_truncate('run');
