-- What a run observed stays as it was published; what it owns of that is derived.
create trigger guard_updated before update of run_id, year, geom, area_m2 on lode.observation
for each row execute function lode_api.guard_observation();
