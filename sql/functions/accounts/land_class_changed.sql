-- Purpose: derive everything again when a class becomes damage of another kind, or when one comes that current
--   runs looked for: what they did not find of it is 0 from then on, not unknown. Alerts say the names of classes.
-- Rules: a class that anything was derived for cannot go: rows refer to it. Where none does, the smallest patch of its
--   kind may change with it, by which patches and alerts of the other classes are found. The trigger `hold` has taken
--   the accounting lock before, so that a run that was being published is seen.
-- Used by: the triggers on lode.land_class.
create function lode_api.land_class_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  come integer[];
begin
  if tg_op = 'DELETE' then
    if exists (
      select from before b
      where b.damage_kind <> 'none' and b.min_patch_m2 < coalesce((
        select min(c.min_patch_m2) from lode.land_class c where c.damage_kind = b.damage_kind
      ), 'infinity')
    ) then
      perform lode_api.derive_all();
    end if;
    return null;
  elsif tg_op = 'INSERT' then
    select array_agg(a.land_class_code) into come from after a;
  else
    select array_agg(a.land_class_code) into come
    from after a
    where not exists (select from before b where b.land_class_code = a.land_class_code);
  end if;
  if exists (
    select from lode.run r
    join lode.model d on d.model_id = r.model_id
    where r.is_current and d.mapped_codes && come
  ) then
    perform lode_api.derive_all();
    return null;
  elsif tg_op = 'INSERT' then
    if exists (
      select from after a
      where a.damage_kind <> 'none' and a.min_patch_m2 < coalesce((
        select min(c.min_patch_m2) from lode.land_class c
        where c.damage_kind = a.damage_kind and c.land_class_code <> all(come)
      ), 'infinity')
    ) then
      perform lode_api.derive_all();
    end if;
    return null;
  end if;

  if exists (
    select from before b
    join after a on a.land_class_code = b.land_class_code
    where (b.damage_kind, b.is_mapped, b.counts_outside_mines, b.min_patch_m2, b.key)
      is distinct from (a.damage_kind, a.is_mapped, a.counts_outside_mines, a.min_patch_m2, a.key)
  ) then
    perform lode_api.derive_all();
  elsif exists (
    select from before b
    join after a on a.land_class_code = b.land_class_code
    where (b.name, b.name_zh) is distinct from (a.name, a.name_zh)
  ) then
    perform lode_api.lock_accounts();
    perform lode_api.derive_alerts(
      (select array_agg(m.mine_id order by m.mine_id) from lode.mine m), lode_api.account_years()
    );
  end if;
  return null;
end
$$;

comment on function lode_api.land_class_changed() is
  'Trigger: accounts follow the kinds of damage that classes are.';
