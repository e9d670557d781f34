-- Totals follow the outlines of regions.
create trigger derive_inserted after insert on lode.region
referencing new table as after
for each statement execute function lode_api.region_changed();
