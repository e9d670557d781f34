-- Purpose: everything that is derived for mines by themselves, in the order in which it stands on itself.
-- Rules: rows of a mine depend on no other mine's, so mines may be derived side by side. Some mines at a time:
--   then a step never joins more than some thousand pieces, and no plan can be a very bad one, whatever the
--   planner knows of tables that were filled a moment ago.
-- Used by: lode_api.derive_mines, lode_api.derive_anew.
create function lode_api.derive_accounts(mine_ids integer[], years integer[]) returns void
language plpgsql
as $$
declare
  slice integer[];
begin
  if mine_ids is null then
    return;
  end if;
  for start in 1..cardinality(mine_ids) by 20 loop
    slice := mine_ids[start : start + 19];
    perform lode_api.derive_pieces(slice, years);
    perform lode_api.derive_areas(slice, years);
    perform lode_api.derive_blind_years(slice);
    perform lode_api.derive_change(slice, years);
    perform lode_api.derive_damage(slice, years);
    perform lode_api.derive_patches(slice, years);
    perform lode_api.derive_patch_history(slice, years);
  end loop;
end
$$;

comment on function lode_api.derive_accounts(integer[], integer[]) is
  'Derive areas, change, damage and patches of these mines again where these years matter.';
