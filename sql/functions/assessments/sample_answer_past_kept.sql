-- Purpose: what was answered before can be read and no more.
-- Rules: rows come by the trigger on lode.sample_answer and go with their assessment.
-- Used by: the triggers on lode.sample_answer_past.
create function lode_api.sample_answer_past_kept() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if tg_op = 'INSERT' and pg_trigger_depth() > 1 then
    return new;
  end if;
  if tg_op = 'DELETE' and not exists (
    select from lode.sample_point p where p.sample_point_id = old.sample_point_id
  ) then
    return old;
  end if;
  raise exception 'what was answered before is kept as it is' using errcode = 'check_violation',
    hint = 'Edit lode.sample_answer; what it was before comes here by itself.';
end
$$;

comment on function lode_api.sample_answer_past_kept() is
  'Trigger: answers that were changed or taken back are kept as they had been.';
