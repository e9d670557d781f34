-- Areas follow the labels that count.
create trigger derive_deleted after delete on lode.label
referencing old table as before
for each statement execute function lode_api.label_changed();
