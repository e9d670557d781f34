-- Areas cannot follow when lode.mine is emptied at once.
create trigger guard_truncated before truncate on lode.mine
for each statement execute function lode_api.guard_truncate('mine');
