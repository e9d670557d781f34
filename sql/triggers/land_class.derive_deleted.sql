-- Accounts follow a class that goes: the smallest patch of its kind may be another one then.
create trigger derive_deleted after delete on lode.land_class
referencing old table as before
for each statement execute function lode_api.land_class_changed();
