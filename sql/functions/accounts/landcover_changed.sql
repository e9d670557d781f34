-- Purpose: polygons of a run stay as they were published; only their mean probability may be given anew, and what
--   stands on it follows.
-- Rules: they go with their run, and while the run has not been published. Their dates follow the year that the run
--   observed (lode_api.date_runs).
-- Used by: the triggers on lode.landcover.
create function lode_api.landcover_changed() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  published integer[];
  refused integer;
  run_ids integer[];
  mine_ids integer[];
  years integer[];
begin
  if tg_op = 'DELETE' then
    published := array(
      select r.run_id from lode.run r
      where r.status in ('published', 'withdrawn') and r.run_id in (select b.run_id from before b)
    );
    refused := published[1];
  else
    published := array(
      select r.run_id from lode.run r
      where r.status in ('published', 'withdrawn')
        and r.run_id in (select b.run_id from before b union select a.run_id from after a)
    );
    select coalesce(b.run_id, a.run_id) into refused
    from before b
    full join after a on a.landcover_id = b.landcover_id
    left join lode.observation o on o.run_id = a.run_id
    where (a.run_id = any(published) or b.run_id = any(published))
      and (
        (a.run_id, a.land_class_code, a.area_m2) is distinct from (b.run_id, b.land_class_code, b.area_m2)
        or (a.start_date, a.end_date) is distinct from (b.start_date, b.end_date)
          and (a.start_date, a.end_date)
            is distinct from (make_date(o.year, 1, 1), make_date(o.year + 1, 1, 1))
        or not st_orderingequals(a.geom, b.geom)
      )
    limit 1;
  end if;
  if refused is not null then
    raise exception 'run %: its polygons stay as they were published', refused
      using errcode = 'check_violation',
        hint = 'Draw a label that counts (lode.label.is_counted), or withdraw the run (lode run withdraw) and '
          'interpret the scene again. They go with their run: delete from lode.run.';
  elsif tg_op = 'DELETE' then
    return null;
  end if;

  -- Parts of what is not published yet are cut again when it is.
  delete from lode.landcover_part p
  using before b
  where p.landcover_id = b.landcover_id and b.run_id <> all(published);

  select array_agg(distinct r.run_id) into run_ids
  from before b
  join after a on a.landcover_id = b.landcover_id
  join lode.run r on r.run_id = a.run_id and r.is_current
  where a.mean_probability is distinct from b.mean_probability;
  if run_ids is null then
    return null;
  end if;
  perform lode_api.derive_general(run_ids);
  select array_agg(distinct m.mine_id order by m.mine_id) into mine_ids
  from lode.observation o
  join lode.mine m on m.boundary && o.geom and lode_api.meets(m.boundary, o.geom)
  where o.run_id = any(run_ids);
  select array_agg(distinct o.year order by o.year) into years
  from lode.observation o
  where o.run_id = any(run_ids);
  perform lode_api.derive_mines(mine_ids, years);
  return null;
end
$$;

comment on function lode_api.landcover_changed() is
  'Trigger: polygons stay as they were published; what stands on their probability follows.';
