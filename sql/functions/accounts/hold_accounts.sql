-- Purpose: take the accounting lock before the rows of a statement are locked.
-- Rules: whoever derives inserts rows that refer to mines and labels, and waits for those who are changing one;
--   if these waited for the one who derives, neither would get on. So the lock comes first.
-- Used by: triggers before statements on tables that accounts stand on.
create function lode_api.hold_accounts() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  perform lode_api.lock_accounts();
  return null;
end
$$;

comment on function lode_api.hold_accounts() is 'Trigger: hold the accounting lock before rows are locked.';
