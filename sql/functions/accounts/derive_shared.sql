-- Purpose: derive what stands on the accounts of mines, all of it: regions, alerts (whose review stays).
-- Used by: `lode db refresh`.
create function lode_api.derive_shared() returns void
language plpgsql
as $$
begin
  perform lode_api.derive_all_regions();
  perform lode_api.derive_alerts( -- year 0: alerts of years that nothing is known of any more go as well
    (select array_agg(m.mine_id order by m.mine_id) from lode.mine m), 0 || lode_api.account_years()
  );
end
$$;

comment on function lode_api.derive_shared() is 'Derive all that stands on the accounts of mines: regions, alerts.';
