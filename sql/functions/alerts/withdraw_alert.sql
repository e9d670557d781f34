-- Purpose: an open alert whose condition no longer holds goes at the end of the transaction.
-- Rules: not at once, because one step of a change may withdraw what the next one raises again (another run
--   becomes current, a new version replaces a scene): such an alert keeps its key, its note and the moment it
--   was first raised.
-- Used by: the trigger on lode.alert.
create function lode_api.withdraw_alert() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  before constant text := coalesce(current_setting('lode.deriving_alerts', true), 'off');
begin
  perform set_config('lode.deriving_alerts', 'on', true);
  delete from lode.alert a where a.alert_id = new.alert_id and not a.is_current and a.state = 'open';
  perform set_config('lode.deriving_alerts', before, true);
  return null;
end
$$;


comment on function lode_api.withdraw_alert() is
  'Trigger: an open alert whose condition no longer holds goes at the end of the transaction.';
