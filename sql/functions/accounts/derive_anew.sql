-- Purpose: the accounts of mines from nothing: their zones, and every year that anything is known of.
-- Used by: lode_api.derive_all, the triggers on lode.mine, `lode db refresh`.
create function lode_api.derive_anew(mine_ids integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.mine_pair where mine_id = any(mine_ids);
  delete from lode.mine_year where mine_id = any(mine_ids);
  delete from lode.mine_damage where mine_id = any(mine_ids);
  delete from lode.damage_patch where mine_id = any(mine_ids);
  perform lode_api.derive_zones(mine_ids);
  perform lode_api.derive_accounts(mine_ids, lode_api.account_years());
end
$$;

comment on function lode_api.derive_anew(integer[]) is 'Derive zones and accounts of these mines from nothing.';
