-- Answers go with their assessment, never by truncation.
create trigger keep_all before truncate on lode.sample_answer
for each statement execute function lode_api.sample_answer_kept();
