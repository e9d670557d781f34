-- Areas cannot follow when lode.landcover is emptied at once.
create trigger guard_truncated before truncate on lode.landcover
for each statement execute function lode_api.guard_truncate('run');
