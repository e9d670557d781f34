-- Purpose: derive everything again when a class becomes damage of another kind.
-- Used by: the trigger on lode.land_class.
create function lode_api.land_class_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if exists (
    select from before b
    join after a on a.land_class_code = b.land_class_code
    where (b.damage_kind, b.is_mapped, b.counts_outside_mines, b.min_patch_m2, b.key)
      is distinct from (a.damage_kind, a.is_mapped, a.counts_outside_mines, a.min_patch_m2, a.key)
  ) then
    perform lode_api.derive_all();
  end if;
  return null;
end
$$;

comment on function lode_api.land_class_changed() is
  'Trigger: accounts follow the kinds of damage that classes are.';
