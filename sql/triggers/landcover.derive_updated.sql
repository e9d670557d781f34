-- Polygons stay as they were published; areas follow their mean probability.
create trigger derive_updated after update on lode.landcover
referencing old table as before new table as after
for each statement execute function lode_api.landcover_changed();
