-- Purpose: interpreters answer in the view lode_api.sample_task, in which they see nothing but their own.
-- Rules: land_class takes a key, a code, an English or Chinese name, or `cannot tell`; emptied, the answer is
--   taken back. The day is that of the change where the interpreter states none. A change of any other column
--   is refused by name. The function writes as its owner, so that the right to update the view is enough, and
--   in the name of the database login.
-- Used by: the trigger on lode_api.sample_task.
create function lode_api.answer_sample_task() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  named text;
  told text := nullif(lower(btrim(new.land_class)), '');
  code integer;
begin
  select n.key into named
  from jsonb_each(to_jsonb(new) - '{land_class,answered_on,note,geom}'::text[]) as n(key, value)
  join jsonb_each(to_jsonb(old) - '{land_class,answered_on,note,geom}'::text[]) as o(key, value)
    on o.key = n.key
  where n.value is distinct from o.value
  order by n.key
  limit 1;
  if named is null and not st_orderingequals(new.geom, old.geom) then
    named := 'geom';
  end if;
  if named is not null then
    raise exception 'sample point %: % was drawn and cannot be changed', old.number, named
      using errcode = 'check_violation', hint = 'Only land_class, answered_on and note can.';
  end if;

  if told is null then
    if old.land_class is null
      and (new.answered_on, new.note) is distinct from (old.answered_on, old.note)
    then
      raise exception 'sample point %: a day or a note alone is no answer', old.number
        using errcode = 'check_violation', hint = 'Fill land_class; who cannot tell says cannot tell.';
    end if;
    delete from lode.sample_answer n
    where n.sample_point_id = old.ogc_fid and n.interpreter = session_user;
    new.land_class := null;
    new.answered_on := null;
    new.note := null;
    return new;
  end if;

  if told <> 'cannot tell' then
    select c.land_class_code, c.key into code, told
    from lode.land_class c
    where lower(btrim(new.land_class)) in (c.land_class_code::text, c.key, lower(c.name), c.name_zh)
    limit 1;
    if not found then
      raise exception 'sample point %: % is no class', old.number, quote_literal(new.land_class)
        using errcode = 'check_violation',
          hint = (
            select string_agg(c.key, ', ' order by c.land_class_code) from lode.land_class c
          ) || ', or cannot tell';
    end if;
  end if;
  new.land_class := told;
  if new.answered_on is null
    or new.answered_on is not distinct from old.answered_on and new.land_class is distinct from old.land_class
  then
    new.answered_on := current_date;
  end if;
  new.note := nullif(btrim(new.note), '');
  update lode.sample_answer n
  set land_class_code = code, answered_on = new.answered_on, note = new.note
  where n.sample_point_id = old.ogc_fid and n.interpreter = session_user;
  if not found then
    insert into lode.sample_answer (sample_point_id, interpreter, land_class_code, answered_on, note)
    values (old.ogc_fid, session_user, code, new.answered_on, new.note);
  end if;
  return new;
end
$$;

comment on function lode_api.answer_sample_task() is
  'Trigger: interpreters answer in the view of their tasks, in their own name.';
