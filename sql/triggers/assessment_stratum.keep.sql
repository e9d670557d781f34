-- Strata stay as they were drawn.
create trigger keep before insert or update or delete on lode.assessment_stratum
for each row execute function lode_api.sample_kept();
