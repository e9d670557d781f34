-- Purpose: one transaction at a time derives, so that two publications cannot each miss the other.
-- Rules: what the one before committed must be seen after the wait, which READ COMMITTED alone grants.
-- Used by: everything that derives; held to the end of the transaction.
create function lode_api.lock_accounts() returns void
language plpgsql
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'areas cannot be derived in a transaction that is %',
        current_setting('transaction_isolation')
      using hint = 'begin it with: begin isolation level read committed';
  end if;
  perform pg_advisory_xact_lock(x'10DE0003'::bigint);
end
$$;

comment on function lode_api.lock_accounts() is
  'Hold the lock under which areas are derived, to the end of the transaction.';
