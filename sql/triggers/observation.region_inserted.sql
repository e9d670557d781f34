-- The observed area of regions follows the ground that runs own.
create trigger region_inserted after insert on lode.observation
referencing new table as after
for each statement execute function lode_api.observation_owned();
