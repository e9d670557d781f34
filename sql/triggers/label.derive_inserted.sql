-- Areas follow the labels that count.
create trigger derive_inserted after insert on lode.label
referencing new table as after
for each statement execute function lode_api.label_changed();
