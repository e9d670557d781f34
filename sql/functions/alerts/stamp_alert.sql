-- Purpose: who reviewed an alert, when, and what it then said, is written down.
-- Rules: a statement that names state or note of an alert that is or was reviewed is a review, even where it
--   writes what was there: who saves "confirmed" again has looked again. confirmed and rejected stamp who,
--   when, level and area; open clears the stamp. Each is a row of lode.alert_review, with the ground.
--   A note on an open alert is no review.
-- Used by: the trigger on lode.alert, after lode_api.guard_alert. It runs with its owner's rights, so that the
--   right to update alerts is enough; session_user is still the one who logged in.
create function lode_api.stamp_alert() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if new.state = 'open' and old.state = 'open' then
    return new;
  end if;
  insert into lode.alert_review (
    alert_id, mine_code, kind, from_year, to_year, state, note, reviewed_by, reviewed_at, level, area_m2,
    confidence, reason, reason_zh, geom
  )
  select new.alert_id, m.code, new.kind, new.from_year, new.to_year, new.state, new.note, session_user, now(),
    new.level, new.area_m2, new.confidence, new.reason, new.reason_zh, new.geom
  from lode.mine m
  where m.mine_id = new.mine_id;
  if new.state = 'open' then
    new.reviewed_by := null;
    new.reviewed_at := null;
    new.reviewed_level := null;
    new.reviewed_area_m2 := null;
    new.unreviewed_area_m2 := null;
  else
    new.reviewed_by := session_user;
    new.reviewed_at := now();
    new.reviewed_level := new.level;
    new.reviewed_area_m2 := new.area_m2;
    new.unreviewed_area_m2 := 0;
  end if;
  return new;
end
$$;


comment on function lode_api.stamp_alert() is
  'Trigger: who reviewed an alert, when and what it then said is written down.';
