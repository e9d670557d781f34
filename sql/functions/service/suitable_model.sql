-- Purpose: the network for a scene when nobody names one.
-- Rules: in service, with all its bands in the scene, pixels of a quarter more or less, values of the same level; of
--   those the one that last came to stand for a scene of the same instrument, else the one trained last.
-- Used by: lode_api.request_mine.
create function lode_api.suitable_model(scene_id integer) returns integer
language sql stable
set search_path = lode, pg_catalog, pg_temp
as $$
  select m.model_id
  from lode.scene s
  join lode.model m on m.band_names <@ s.band_names
  where s.scene_id = suitable_model.scene_id
    and m.task = 'segmentation'
    and m.retired_at is null
    and abs(ln(s.resolution_m / m.resolution_m)) <= ln(1.25) + 1e-9
    and (m.training ->> 'processing_level' is null or m.training ->> 'processing_level' = s.processing_level)
  order by (
    select max(r.finished_at)
    from lode.run r
    join lode.scene o on o.scene_id = r.scene_id
    where r.model_id = m.model_id and r.is_current and o.sensor_id = s.sensor_id
  ) desc nulls last, m.trained_at desc, m.model_id desc
  limit 1
$$;

comment on function lode_api.suitable_model(integer) is
  'The network in service that fits a scene, by what stands for others of its instrument; null: none fits.';
