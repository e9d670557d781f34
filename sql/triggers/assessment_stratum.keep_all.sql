-- Strata go with their assessment, never by truncation.
create trigger keep_all before truncate on lode.assessment_stratum
for each statement execute function lode_api.sample_kept();
