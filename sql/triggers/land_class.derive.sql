-- Accounts follow the kinds of damage.
create trigger derive after update on lode.land_class
referencing old table as before new table as after
for each statement execute function lode_api.land_class_changed();
