-- Areas follow the boundaries of mines.
create trigger derive_deleted after delete on lode.mine
referencing old table as before
for each statement execute function lode_api.mine_changed();
