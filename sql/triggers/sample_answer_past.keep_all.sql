-- What was answered before is never truncated.
create trigger keep_all before truncate on lode.sample_answer_past
for each statement execute function lode_api.sample_answer_past_kept();
