-- Areas follow when another run stands for a scene.
create trigger derive after update on lode.run
referencing old table as before new table as after
for each statement execute function lode_api.run_changed();
