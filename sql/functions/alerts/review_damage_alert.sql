-- Purpose: an alert's state and note can be edited in the view lode_api.damage_alert as in its table.
-- Rules: a change of any other column is refused by name. Any update of a reviewed alert reviews it again: a
--   trigger on a view does not learn which columns a statement names. The function writes as its owner, so
--   that the right to update the view is enough; it never passes for derivation.
-- Used by: the trigger on lode_api.damage_alert.
create function lode_api.review_damage_alert() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  named text;
  is_found boolean;
  before constant text := coalesce(current_setting('lode.deriving_alerts', true), 'off');
begin
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
      old.ogc_fid, named using errcode = 'check_violation';
  end if;
  perform set_config('lode.deriving_alerts', 'off', true);
  update lode.alert a set state = new.state, note = new.note
  where a.alert_id = old.ogc_fid
  returning a.reviewed_by, a.reviewed_at into new.reviewed_by, new.reviewed_at;
  is_found := found;
  perform set_config('lode.deriving_alerts', before, true);
  if not is_found then
    return null;
  end if;
  new.has_risen_since_review := false;
  new.is_to_review := new.state = 'open';
  return new;
end
$$;


comment on function lode_api.review_damage_alert() is
  'Trigger: state and note of an alert are edited through the view as well.';
