-- Purpose: of an alert people set state and note alone.
-- Rules: alerts come and go by derivation. They go with their mine, with a warning for each that was reviewed;
--   what was said of them stays in lode.alert_review. An alert that no longer holds cannot be opened again.
--   Derivation says who it is through lode.deriving_alerts, which counts for the table's owner alone: the
--   function runs with the rights of whoever writes, so that a client that sets it gains nothing.
-- Used by: the trigger on lode.alert; lode_api.stamp_alert comes after it.
create function lode_api.guard_alert() returns trigger
language plpgsql
set search_path = lode, public, pg_temp
as $$
declare
  named text;
begin
  if current_setting('lode.deriving_alerts', true) = 'on' and pg_has_role(
    current_user, (select c.relowner from pg_catalog.pg_class c where c.oid = tg_relid), 'usage'
  ) then
    return case tg_op when 'DELETE' then old else new end;
  end if;

  if tg_op = 'INSERT' then
    raise exception 'alerts are derived and cannot be drawn by hand'
      using errcode = 'check_violation', hint = 'Draw the ground as a label, or edit lode.alert_rule.';
  elsif tg_op = 'DELETE' then
    if not exists (select from lode.mine m where m.mine_id = old.mine_id) then
      if old.state <> 'open' then
        raise warning 'alert % (% % of %), % by % at %, goes with its mine', old.alert_id, old.level,
          old.kind, old.to_year, old.state, old.reviewed_by, old.reviewed_at
          using hint = 'Its reviews stay in lode.alert_review.';
      end if;
      return old;
    end if;
    raise exception 'alert %: alerts are not deleted by hand', old.alert_id
      using errcode = 'check_violation', hint = 'Set its state to rejected, with a note that says why.';
  end if;

  select n.key into named
  from jsonb_each(to_jsonb(new) - '{state,note,geom}'::text[]) as n(key, value)
  join jsonb_each(to_jsonb(old) - '{state,note,geom}'::text[]) as o(key, value) on o.key = n.key
  where n.value is distinct from o.value
  order by n.key
  limit 1;
  if named is null and not st_orderingequals(new.geom, old.geom) then
    named := 'geom';
  end if;
  if named is not null then
    raise exception 'alert %: % is derived and cannot be changed by hand; only state and note can',
      old.alert_id, named using errcode = 'check_violation';
  end if;
  if new.state is null or new.state not in ('open', 'confirmed', 'rejected') then
    raise exception 'alert %: state is %; it must be open, confirmed or rejected',
      old.alert_id, coalesce(quote_literal(new.state), 'null') using errcode = 'check_violation';
  end if;
  if new.state = 'open' and not old.is_current then
    raise exception 'alert %: its condition no longer holds, so it cannot be opened again', old.alert_id
      using errcode = 'check_violation', hint = 'It can be confirmed or rejected.';
  end if;
  return new;
end
$$;

comment on function lode_api.guard_alert() is 'Trigger: people set state and note of an alert, nothing else.';
