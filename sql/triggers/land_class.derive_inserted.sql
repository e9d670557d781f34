-- Accounts follow a class that current runs looked for.
create trigger derive_inserted after insert on lode.land_class
referencing new table as after
for each statement execute function lode_api.land_class_changed();
