-- Purpose: derive the change of a period that was added, and forget that of one that was taken away.
-- Used by: the trigger on lode.report_period.
create function lode_api.report_period_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  mine_ids integer[];
begin
  perform lode_api.lock_accounts();
  mine_ids := array(select m.mine_id from lode.mine m order by m.mine_id);
  for start in 1..cardinality(mine_ids) by 20 loop
    perform lode_api.derive_change(mine_ids[start : start + 19], '{}');
  end loop;
  return null;
end
$$;

comment on function lode_api.report_period_changed() is
  'Trigger: change is derived for the periods of reports.';
