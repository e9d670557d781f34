-- The classes of a network that has runs stay as they were trained.
create trigger guard before update of mapped_codes on lode.model
for each row when (old.mapped_codes is distinct from new.mapped_codes)
execute function lode_api.guard_model();
