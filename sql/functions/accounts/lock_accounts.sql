-- Purpose: one transaction at a time derives, so that two publications cannot each miss the other.
-- Used by: everything that derives; held to the end of the transaction.
create function lode_api.lock_accounts() returns void
language sql
as $$
  select pg_advisory_xact_lock(x'10DE0003'::bigint)
$$;

comment on function lode_api.lock_accounts() is
  'Hold the lock under which areas are derived, to the end of the transaction.';
