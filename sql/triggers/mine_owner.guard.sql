-- A mine is given to a role that is there, by a grant that goes with it.
create trigger guard before insert or update of role_name on lode.mine_owner
for each row execute function lode_api.guard_mine_owner();
