-- Areas cannot follow when lode.model is emptied at once.
create trigger guard_truncated before truncate on lode.model
for each statement execute function lode_api.guard_truncate('model');
