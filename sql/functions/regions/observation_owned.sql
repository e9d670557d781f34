-- Purpose: the observed area of regions follows when a run comes to own other ground.
-- Rules: only the rows of that run are derived; the totals of the regions follow in lode_api.derive_outside,
--   which whatever changes ownership calls next.
-- Used by: the triggers on lode.observation.
create function lode_api.observation_owned() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  run_ids integer[];
begin
  if not exists (select from lode.region) then
    return null;
  end if;
  if tg_op = 'INSERT' then
    select array_agg(a.run_id) into run_ids from after a where a.owned is not null;
  else
    select array_agg(a.run_id) into run_ids
    from before b
    join after a on a.run_id = b.run_id
    where (b.owned is null) <> (a.owned is null) or not st_orderingequals(b.owned, a.owned);
  end if;
  if run_ids is not null then
    perform lode_api.derive_region_runs(run_ids, null);
  end if;
  return null;
end
$$;

comment on function lode_api.observation_owned() is
  'Trigger: what regions hold of a run follows the ground it owns.';
