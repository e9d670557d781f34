-- Areas follow when a run is deleted.
create trigger derive_deleted after delete on lode.observation
referencing old table as before
for each statement execute function lode_api.observation_deleted();
