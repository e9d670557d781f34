-- Polygons that were published go with their run alone.
create trigger guard_deleted after delete on lode.landcover
referencing old table as before
for each statement execute function lode_api.landcover_changed();
