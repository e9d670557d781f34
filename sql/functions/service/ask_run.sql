-- Purpose: the run of a scene, a network and settings; made with its blocks when nobody asked for it before.
-- Units: pixels. Rules: blocks are strips of whole strides of windows, of block_px at least, the last one up to twice
--   as large; what is smaller has one. A run that failed or was cancelled begins anew, with all its attempts. One that
--   was withdrawn stays so. Nothing is put into the queue here. Of what a source orders, whoever last
--   changed that source is written down as who asked, and pays from their quota for what nobody asked for before: a
--   worker names the source, never a person.
-- Used by: lode_api.put_in_queue, `lode infer`, sources.
create function lode_api.ask_run(
  scene_id integer,
  model_id integer,
  overlap_px integer default null,
  becomes_current boolean default false,
  source_id integer default null
)
returns integer
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  settings jsonb := lode_api.run_parameters(model_id, overlap_px);
  digest text := encode(sha256(convert_to((settings - 'block_px')::text, 'UTF8')), 'hex');
  model lode.model;
  scene lode.scene;
  found_id integer;
  found_status text;
  stride_px integer;
  block_rows_px integer;
  blocks integer;
  ordered_by text;
begin
  if source_id is not null then
    select s.changed_by into ordered_by from lode.ingest_source s where s.ingest_source_id = source_id;
    if ordered_by is null then
      raise exception 'there is no source %', source_id using errcode = 'no_data_found';
    end if;
  end if;
  select m.* into model from lode.model m where m.model_id = ask_run.model_id;
  if model.model_id is null then
    raise exception 'there is no model %', model_id
      using errcode = 'no_data_found', hint = '`lode model list` names those there are.';
  end if;
  select s.* into scene from lode.scene s where s.scene_id = ask_run.scene_id;
  if scene.scene_id is null then
    raise exception 'there is no scene %', scene_id
      using errcode = 'no_data_found', hint = 'lode_api.scene_catalogue lists those there are.';
  end if;
  if model.task <> 'segmentation' then
    raise exception 'model % is for %: it interprets no scene', model.name, model.task
      using errcode = 'invalid_parameter_value', hint = 'Name a network trained by `lode train segmentation`.';
  end if;
  select r.run_id, r.status into found_id, found_status
  from lode.run r
  where r.scene_id = ask_run.scene_id and r.model_id = ask_run.model_id and r.parameters_digest = digest;
  if found_status = 'published' then
    if becomes_current then
      perform lode_api.lock_accounts();
      update lode.run r set is_current = false
      where r.scene_id = ask_run.scene_id and r.is_current and r.run_id <> found_id;
      update lode.run r set is_current = true where r.run_id = found_id and not r.is_current;
    end if;
    return found_id;
  end if;
  if model.retired_at is not null then
    raise exception 'model % was retired: %', model.name, coalesce(model.retired_reason, 'no reason was recorded')
      using errcode = 'invalid_parameter_value', hint = 'Name another, or `lode model reinstate` it.';
  end if;
  stride_px := (settings ->> 'tile_px')::integer - (settings ->> 'overlap_px')::integer;
  if stride_px < 1 or (settings ->> 'overlap_px')::integer < 0 then
    raise exception 'an overlap of % px does not fit windows of % px', settings ->> 'overlap_px', settings ->> 'tile_px'
      using errcode = 'invalid_parameter_value', hint = 'Choose 0 to one less than the window.';
  end if;
  if ordered_by is not null and (found_status is null or found_status in ('failed', 'cancelled')) then
    perform lode_api.check_quota(
      scene.width_px::double precision * scene.height_px * scene.resolution_m * scene.resolution_y_m
        * scene.valid_fraction / 1e6,
      ordered_by
    );
  end if;
  insert into lode.run (scene_id, model_id, parameters, parameters_digest, becomes_current, requested_by)
  values (scene_id, model_id, settings, digest, becomes_current, coalesce(ordered_by, session_user))
  on conflict do nothing;
  select r.run_id, r.status into strict found_id, found_status
  from lode.run r
  where r.scene_id = ask_run.scene_id and r.model_id = ask_run.model_id and r.parameters_digest = digest
  for no key update;
  if found_status = 'published' then -- while this waited for its row
    return lode_api.ask_run(scene_id, model_id, overlap_px, becomes_current, source_id);
  end if;
  if found_status = 'withdrawn' then
    raise exception 'run % of scene % by model % was withdrawn', found_id, scene.product, model.name
      using errcode = 'check_violation',
        hint = format('`lode run reinstate %s` takes that back; or ask another network.', found_id);
  end if;
  if found_status in ('failed', 'cancelled') then
    update lode.run r
    set status = 'requested', attempt = 0, token = null, error = null, started_at = null, finished_at = null,
      requested_by = coalesce(ordered_by, session_user), requested_at = clock_timestamp(), queued_at = null
    where r.run_id = found_id;
    update lode.run_block b
    set status = case b.status when 'staged' then 'staged' else 'waiting' end, attempt = 0, stage = null, done = 0,
      total = 0
    where b.run_id = found_id;
  end if;
  if becomes_current then
    update lode.run r set becomes_current = true where r.run_id = found_id and not r.becomes_current;
  end if;
  if not exists (select from lode.run_block b where b.run_id = found_id) then
    block_rows_px := stride_px
      * ceil((settings ->> 'block_px')::double precision / (scene.width_px::bigint * stride_px))::integer;
    blocks := greatest(1, scene.height_px / block_rows_px);
    insert into lode.run_block (run_id, block, first_row_px, row_count_px)
    select
      found_id,
      n,
      n * block_rows_px,
      case n when blocks - 1 then scene.height_px - n * block_rows_px else block_rows_px end
    from generate_series(0, blocks - 1) as n;
  end if;
  return found_id;
end
$$;

comment on function lode_api.ask_run(integer, integer, integer, boolean, integer) is
  'The run of a scene, a network and settings, made when nobody asked for it before; it is not put into the queue.';
