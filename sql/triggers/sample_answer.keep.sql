-- Answers are their interpreters' own, and what they were before is kept.
create trigger keep before insert or update or delete on lode.sample_answer
for each row execute function lode_api.sample_answer_kept();
