-- Purpose: ask from SQL that every scene of a year over a mine is interpreted: select lode_api.request_mine('C', 2023).
-- Rules: scenes that count (no newer version) and touch the mine's boundary; the network named, or the suitable one of
--   each scene. All of them or none.
-- Used by: analysts in QGIS and psql, `lode run request`.
create function lode_api.request_mine(mine_code text, year integer, model text default null)
returns setof integer
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
declare
  boundary geometry;
  wanted_model integer;
  fitting integer;
  scene record;
  is_any boolean := false;
begin
  select m.boundary into boundary from lode.mine m where m.code = mine_code;
  if boundary is null then
    raise exception 'there is no mine %', coalesce(quote_literal(mine_code), 'null')
      using errcode = 'no_data_found', hint = 'lode.mine lists the codes there are.';
  end if;
  if model is not null then
    select m.model_id into wanted_model from lode.model m where m.name = request_mine.model;
    if wanted_model is null then
      raise exception 'there is no model %', quote_literal(model)
        using errcode = 'no_data_found', hint = '`lode model list` names those there are.';
    end if;
  end if;
  for scene in
    select s.scene_id, s.product
    from lode.scene s
    where s.superseded_by is null
      and s.acquired_on >= make_date(year, 1, 1) and s.acquired_on < make_date(year + 1, 1, 1)
      and s.footprint && boundary and st_intersects(s.footprint, boundary)
    order by s.acquired_on, s.scene_id
  loop
    fitting := coalesce(wanted_model, lode_api.suitable_model(scene.scene_id));
    if fitting is null then
      raise exception 'no network in service fits scene %', scene.product
        using errcode = 'no_data_found',
          hint = 'Train one on scenes of its bands, resolution and level, or name one as the third argument.';
    end if;
    is_any := true;
    if exists (
      select from lode.run r
      where r.scene_id = scene.scene_id and r.model_id = fitting and r.status = 'withdrawn'
    ) then
      raise notice 'scene % was interpreted by that network and withdrawn: it is left out', scene.product;
      continue;
    end if;
    return next lode_api.request_run(scene.scene_id, fitting);
  end loop;
  if not is_any then
    raise exception 'no scene of % touches mine %', year, mine_code
      using errcode = 'no_data_found', hint = 'lode_api.scene_catalogue shows what there is.';
  end if;
end
$$;

comment on function lode_api.request_mine(text, integer, text) is
  'Ask that all scenes of a year over a mine are interpreted; the keys of the runs, see lode_api.queue.';
