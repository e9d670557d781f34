-- Areas follow the boundaries of mines.
create trigger derive_inserted after insert on lode.mine
referencing new table as after
for each statement execute function lode_api.mine_changed();
