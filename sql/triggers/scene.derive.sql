-- Areas follow when a scene is superseded.
create trigger derive after update on lode.scene
referencing old table as before new table as after
for each statement execute function lode_api.scene_changed();
