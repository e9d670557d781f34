-- A table of tiles that a worker made is a scene's or a run's when its transaction ends.
create constraint trigger settle after insert on lode.tile_table
deferrable initially deferred
for each row execute function lode_api.settle_tile_table();
