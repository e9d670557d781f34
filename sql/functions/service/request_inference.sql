-- Purpose: ask from SQL that a network interprets a scene: select lode_api.request_inference('PRODUCT', 'NETWORK').
-- Rules: the newest version of the product is taken. What was asked for before is not asked for again: the same run
--   comes back, whatever became of it; one that failed or was cancelled begins anew. Who asked is recorded.
-- Used by: analysts in QGIS and psql, `lode run request`.
create function lode_api.request_inference(scene text, model text, becomes_current boolean default false)
returns integer
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  wanted_scene integer;
  wanted_model integer;
begin
  select s.scene_id into wanted_scene
  from lode.scene s
  where s.product = request_inference.scene and s.superseded_by is null;
  if wanted_scene is null then
    raise exception 'there is no scene %', coalesce(quote_literal(scene), 'null')
      using errcode = 'no_data_found', hint = 'lode_api.scene_catalogue lists the products there are.';
  end if;
  select m.model_id into wanted_model from lode.model m where m.name = request_inference.model;
  if wanted_model is null then
    raise exception 'there is no model %', coalesce(quote_literal(model), 'null')
      using errcode = 'no_data_found', hint = '`lode model list` names those there are.';
  end if;
  return lode_api.request_run(wanted_scene, wanted_model, coalesce(becomes_current, false));
end
$$;

comment on function lode_api.request_inference(text, text, boolean) is
  'Ask that a network interprets a scene (product name, network); the key of the run, see lode_api.queue.';
