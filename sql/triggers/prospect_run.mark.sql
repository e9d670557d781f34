-- Who looks at the raster of a search learns that it was withdrawn.
create trigger mark after update of withdrawn_at on lode.prospect_run
for each row when ((old.withdrawn_at is null) <> (new.withdrawn_at is null))
execute function lode_api.mark_withdrawn();
