-- Purpose: what was said of an alert is not said otherwise later.
-- Rules: rows come from lode_api.stamp_alert alone, which runs with the rights of the table's owner, and are neither
--   changed nor deleted. When their alert goes, they lose its key and nothing else. That a trigger writes is not
--   enough: whoever may insert here can put a trigger on a temporary table. Alerts and reviews are not truncated;
--   where there is none, nothing is lost, and a mine table without accounts can be emptied with what refers to it.
-- Used by: the triggers on lode.alert_review, and before TRUNCATE of lode.alert.
create function lode_api.guard_alert_review() returns trigger
language plpgsql
set search_path = lode, public, pg_temp
as $$
begin
  if tg_op = 'TRUNCATE' then
    if exists (select from lode.alert) or exists (select from lode.alert_review) then
      raise exception 'lode.% is not truncated: what was said of alerts would be lost', tg_table_name
        using errcode = 'check_violation', hint = 'Alerts go by derivation or with their mine; each review is kept.';
    end if;
    return null;
  elsif tg_op = 'INSERT' then
    if pg_trigger_depth() > 1 and pg_has_role(
      current_user, (select c.relowner from pg_catalog.pg_class c where c.oid = tg_relid), 'usage'
    ) then
      return new;
    end if;
  elsif tg_op = 'UPDATE' then
    if new.alert_id is null
      and to_jsonb(new) - '{alert_id,geom}'::text[] = to_jsonb(old) - '{alert_id,geom}'::text[]
      and st_orderingequals(new.geom, old.geom)
      and not exists (select from lode.alert a where a.alert_id = old.alert_id)
    then
      return new;
    end if;
  end if;
  raise exception 'reviews of alerts are written by the database, never changed and never deleted'
    using errcode = 'check_violation', hint = 'Set state and note of the alert; each review is kept.';
end
$$;

comment on function lode_api.guard_alert_review() is
  'Trigger: reviews of alerts are written by the database, never changed and never deleted.';
