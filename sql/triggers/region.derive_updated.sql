-- Totals follow the outlines of regions.
create trigger derive_updated after update on lode.region
referencing old table as before new table as after
for each statement execute function lode_api.region_changed();
