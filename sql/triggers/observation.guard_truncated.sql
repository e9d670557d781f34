-- Areas cannot follow when lode.observation is emptied at once.
create trigger guard_truncated before truncate on lode.observation
for each statement execute function lode_api.guard_truncate('run');
