-- Areas follow the boundaries of mines.
create trigger derive_updated after update on lode.mine
referencing old table as before new table as after
for each statement execute function lode_api.mine_changed();
