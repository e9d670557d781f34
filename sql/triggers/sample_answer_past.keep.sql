-- What was answered before is kept as it was.
create trigger keep before insert or update or delete on lode.sample_answer_past
for each row execute function lode_api.sample_answer_past_kept();
