-- Purpose: everything that stands on mines in given years: their accounts, regions, alerts.
-- Used by: lode_api.derive_ground, lode_api.derive_all and the triggers; one transaction derives at a time.
create function lode_api.derive_mines(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
begin
  if coalesce(cardinality(mine_ids), 0) = 0 or coalesce(cardinality(years), 0) = 0 then
    return;
  end if;
  perform lode_api.derive_accounts(mine_ids, years);
  perform lode_api.derive_dependents(mine_ids, years);
end
$$;

comment on function lode_api.derive_mines(integer[], integer[]) is
  'Derive accounts, regions and alerts of these mines again where these years matter.';
