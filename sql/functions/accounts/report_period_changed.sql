-- Purpose: derive the change of a period that was added, and forget that of one that was taken away.
-- Used by: the trigger on lode.report_period.
create function lode_api.report_period_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  perform lode_api.lock_accounts();
  perform lode_api.derive_change((select array_agg(m.mine_id) from lode.mine m), '{}');
  return null;
end
$$;

comment on function lode_api.report_period_changed() is
  'Trigger: change is derived for the periods of reports.';
