-- Who owns no mine any more loses the grant by which it did.
create trigger release after delete or update of role_name on lode.mine_owner
for each row execute function lode_api.release_mine_owner();
