-- Areas follow the labels that count.
create trigger derive_updated after update on lode.label
referencing old table as before new table as after
for each statement execute function lode_api.label_changed();
