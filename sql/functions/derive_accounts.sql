-- Purpose: everything that is derived for mines by themselves, in the order in which it stands on itself.
-- Rules: rows of a mine depend on no other mine's, so mines may be derived side by side.
-- Used by: lode_api.derive_mines, `lode db refresh`.
create function lode_api.derive_accounts(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
begin
  perform lode_api.derive_pieces(mine_ids, years);
  perform lode_api.derive_areas(mine_ids, years);
  perform lode_api.derive_change(mine_ids, years);
  perform lode_api.derive_damage(mine_ids, years);
  perform lode_api.derive_patches(mine_ids, years);
  perform lode_api.derive_patch_history(mine_ids, years);
end
$$;

comment on function lode_api.derive_accounts(integer[], integer[]) is
  'Derive areas, change, damage and patches of these mines again where these years matter.';
