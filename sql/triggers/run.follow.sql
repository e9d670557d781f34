-- What was found in a source goes with the run of its scene.
create trigger follow after update of status on lode.run
for each row when (old.status is distinct from new.status and new.status <> 'withdrawn')
execute function lode_api.follow_run();
