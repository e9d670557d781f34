-- Purpose: derive again when labels that count come, go or move.
-- Rules: labels that only train networks change no account, and cost nothing here but a lock of the row of their class:
--   whether ground of it counts unasked (is_mapped) stays as it is until they are stored. Labels that count wait for
--   the accounting lock before that is read. Which run owns which ground is no label's matter, so the year map is
--   left as it is.
-- Used by: the triggers on lode.label.
create function lode_api.label_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  changed geometry[];
  years integer[];
begin
  if tg_op = 'UPDATE' then
    if not exists (
      select from before b
      join after a on a.label_id = b.label_id
      where (b.land_class_code, b.is_counted, b.valid_on)
          is distinct from (a.land_class_code, a.is_counted, a.valid_on)
        or not st_orderingequals(b.geom, a.geom)
    ) then
      return null; -- another interpreter's name changes no area
    end if;
  end if;
  if tg_op = 'INSERT' then -- other statements hold the accounting lock (lode.label.hold)
    if not exists (
      select from after a
      join lode.land_class k on k.land_class_code = a.land_class_code
      where a.is_counted or not k.is_mapped
    ) then
      perform from lode.land_class k
      where k.land_class_code in (select a.land_class_code from after a)
      order by k.land_class_code
      for share;
      if not exists (
        select from after a
        join lode.land_class k on k.land_class_code = a.land_class_code
        where not k.is_mapped
      ) then
        return null;
      end if;
    end if;
    perform lode_api.lock_accounts();
  end if;
  if tg_op <> 'INSERT' then
    select array_agg(b.geom), array_agg(distinct extract(year from b.valid_on)::integer)
    into changed, years
    from before b
    join lode.land_class k on k.land_class_code = b.land_class_code
    where b.is_counted or not k.is_mapped;
  end if;
  if tg_op <> 'DELETE' then
    select changed || array_agg(a.geom), years || array_agg(distinct extract(year from a.valid_on)::integer)
    into changed, years
    from after a
    join lode.land_class k on k.land_class_code = a.land_class_code
    where a.is_counted or not k.is_mapped;
  end if;
  if changed is null then
    return null;
  end if;
  years := array(select distinct y from unnest(years) as y order by y);
  perform lode_api.derive_interpreted(changed, years);
  perform lode_api.derive_standing(changed, years);
  return null;
end
$$;

comment on function lode_api.label_changed() is
  'Trigger: what labels that count say is derived.';
