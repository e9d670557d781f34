-- The observed area of regions follows the ground that runs own.
create trigger region_updated after update on lode.observation
referencing old table as before new table as after
for each statement execute function lode_api.observation_owned();
