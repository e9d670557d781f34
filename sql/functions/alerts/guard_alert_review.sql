-- Purpose: what was said of an alert is not said otherwise later.
-- Rules: rows come from lode_api.stamp_alert alone and are neither changed nor deleted. When their alert goes,
--   they lose its key and nothing else.
-- Used by: the trigger on lode.alert_review.
create function lode_api.guard_alert_review() returns trigger
language plpgsql
set search_path = lode, public, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if pg_trigger_depth() > 1 then
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
