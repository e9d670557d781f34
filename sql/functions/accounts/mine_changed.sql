-- Purpose: areas follow when a mine comes, goes, or its boundary, licence or code is edited.
-- Rules: mines that share ground with it, before or after, are derived too: the code decides who counts it.
-- Used by: the triggers on lode.mine.
create function lode_api.mine_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  own_ids integer[];
  mine_ids integer[];
  changed geometry[];
begin
  if tg_op = 'INSERT' then
    select array_agg(a.mine_id), array_agg(a.boundary) into own_ids, changed from after a;
  elsif tg_op = 'DELETE' then
    select array_agg(b.boundary) into changed from before b;
  else
    select array_agg(a.mine_id), array_agg(b.boundary) || array_agg(a.boundary) into own_ids, changed
    from before b
    join after a on a.mine_id = b.mine_id
    where b.code <> a.code
      or not st_orderingequals(b.boundary, a.boundary)
      or (b.licence_boundary is null) <> (a.licence_boundary is null)
      or not st_orderingequals(b.licence_boundary, a.licence_boundary);
  end if;
  if changed is null then
    return null;
  end if;
  perform lode_api.lock_accounts(); -- before neighbours are looked for: another's must be seen
  select array_agg(distinct m.mine_id) into mine_ids
  from (
    select unnest(own_ids) as mine_id
    union
    select n.mine_id
    from unnest(changed) as c(geom)
    join lode.mine n on n.boundary && c.geom and lode_api.meets(n.boundary, c.geom)
  ) m;
  perform lode_api.derive_anew(mine_ids);
  perform lode_api.derive_dependents(mine_ids, lode_api.account_years());
  perform lode_api.derive_outside(changed, lode_api.account_years());
  return null;
end
$$;

comment on function lode_api.mine_changed() is
  'Trigger: areas follow the boundaries of mines.';
