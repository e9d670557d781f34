-- Purpose: what stands on the accounts of mines: regions, alerts.
-- Used by: lode_api.derive_mines, the triggers on lode.mine.
create function lode_api.derive_dependents(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
begin
  perform lode_api.derive_regions(mine_ids, years);
  perform lode_api.derive_alerts(mine_ids, years);
end
$$;

comment on function lode_api.derive_dependents(integer[], integer[]) is
  'Derive what stands on the accounts of these mines: regions, alerts.';
