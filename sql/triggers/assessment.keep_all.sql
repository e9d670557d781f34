-- Assessments are deleted one by one, never truncated.
create trigger keep_all before truncate on lode.assessment
for each statement execute function lode_api.assessment_kept();
