-- Purpose: what was answered before can be read and no more.
-- Rules: rows come by the trigger on lode.sample_answer, which runs with the rights of the table's owner, and go with
--   their assessment. That a trigger writes is not enough: whoever may insert here can put a trigger on a temporary
--   table. So this function runs with the rights of whoever writes.
-- Used by: the triggers on lode.sample_answer_past.
create function lode_api.sample_answer_past_kept() returns trigger
language plpgsql
set search_path = lode, public, pg_temp
as $$
declare
  is_owner boolean := pg_has_role(
    current_user, (select c.relowner from pg_catalog.pg_class c where c.oid = tg_relid), 'usage'
  );
begin
  if tg_op = 'INSERT' and is_owner and pg_trigger_depth() > 1 then
    return new;
  end if;
  if tg_op = 'DELETE' and is_owner then -- rows that follow a deleted one go with their owner's rights
    if not exists (select from lode.sample_point p where p.sample_point_id = old.sample_point_id) then
      return old;
    end if;
  end if;
  raise exception 'what was answered before is kept as it is' using errcode = 'check_violation',
    hint = 'Edit lode.sample_answer; what it was before comes here by itself.';
end
$$;

comment on function lode_api.sample_answer_past_kept() is
  'Trigger: answers that were changed or taken back are kept as they had been.';
