-- The design of an assessment stays as it was when its points were drawn.
create trigger keep before insert or update on lode.assessment
for each row execute function lode_api.assessment_kept();
