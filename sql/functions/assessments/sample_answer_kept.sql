-- Purpose: an answer is its interpreter's own, and what it was before is kept.
-- Rules: who answers is the database login (session_user, which `set role` does not change). The owner of the
--   table, members of that role and superusers import answers for others and name them; everybody else gives,
--   corrects and takes back answers of their own name alone. An answer keeps its point and its interpreter.
--   Whoever stores it is stamped. Before an answer is changed or deleted it goes into lode.sample_answer_past;
--   with its whole assessment it goes for good.
-- Used by: the triggers on lode.sample_answer.
create function lode_api.sample_answer_kept() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  is_owner boolean;
  who text;
  point integer;
begin
  if tg_op = 'TRUNCATE' then
    raise exception 'answers are not truncated' using errcode = 'check_violation',
      hint = 'Delete the assessment that is not wanted: its answers go with it.';
  end if;
  if tg_op = 'UPDATE' and new is not distinct from old then
    return new;
  end if;

  who := case tg_op when 'INSERT' then new.interpreter else old.interpreter end;
  select p.number into point
  from lode.sample_point p
  where p.sample_point_id = case tg_op when 'INSERT' then new.sample_point_id else old.sample_point_id end;
  if tg_op = 'DELETE' and not found then
    return old; -- its whole assessment is deleted
  end if;
  is_owner := pg_has_role(
    session_user, (select c.relowner from pg_catalog.pg_class c where c.oid = tg_relid), 'usage'
  );
  if not is_owner and who is distinct from session_user::text then
    raise exception 'the answer of % at point % cannot be given or changed by %', coalesce(who, 'nobody'),
      point, session_user
      using errcode = 'insufficient_privilege',
        hint = 'Interpreters answer in their own name; only the owner of the tables imports for others.';
  end if;
  if tg_op = 'UPDATE' and (new.sample_answer_id, new.sample_point_id, new.interpreter)
    is distinct from (old.sample_answer_id, old.sample_point_id, old.interpreter)
  then
    raise exception 'the answer of % at point % keeps its key, its point and its interpreter', who, point
      using errcode = 'check_violation', hint = 'Delete it and add another: both are kept.';
  end if;

  if tg_op <> 'INSERT' then
    insert into lode.sample_answer_past (
      sample_point_id, interpreter, land_class_code, answered_on, note, entered_by, entered_at, ended_by,
      is_taken_back
    )
    values (
      old.sample_point_id, old.interpreter, old.land_class_code, old.answered_on, old.note, old.entered_by,
      old.entered_at, session_user, tg_op = 'DELETE'
    );
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  new.entered_by := session_user;
  new.entered_at := now();
  return new;
end
$$;

comment on function lode_api.sample_answer_kept() is
  'Trigger: interpreters answer in their own name, and what an answer was before is kept.';
