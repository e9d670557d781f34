-- Areas cannot follow when lode.label is emptied at once.
create trigger guard_truncated before truncate on lode.label
for each statement execute function lode_api.guard_truncate('label');
