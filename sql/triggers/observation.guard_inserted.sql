-- No ground is added to what a published run observed.
create trigger guard_inserted before insert on lode.observation
for each row execute function lode_api.guard_observation();
