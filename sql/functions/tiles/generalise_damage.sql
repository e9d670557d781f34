-- Purpose: trigger that draws damaged ground and its change for maps of small scale (lode.damage_general).
-- Rules: at zooms 0 to 10 the shape goes on the grid of the pixels; where it is smaller than they are, one pixel
--   stands for it, so that no damage is lost from a map. Each zoom is made from the next larger one.
-- CRS: EPSG:4326.
-- Used by: triggers on lode.mine_damage and lode.damage_change, whose key is the trigger's argument.
create function lode_api.generalise_damage() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  source bigint;
  latitude constant double precision := (st_ymin(new.geom) + st_ymax(new.geom)) / 2;
  longitude constant double precision := (st_xmin(new.geom) + st_xmax(new.geom)) / 2;
  pixel double precision;
  shape geometry := new.geom;
  shapes geometry[];
begin
  execute format('select ($1).%I', tg_argv[0]) into source using new;
  execute format('delete from lode.damage_general where %I = $1', tg_argv[0]) using source;
  for zoom in reverse 10..0 loop
    shape := lode_api.general_shape(shape, zoom, latitude);
    if shape is null then
      pixel := lode_api.pixel_degrees(zoom);
      shape := st_multi(lode_api.pixel_cell(
        zoom, latitude, floor(longitude / pixel)::integer,
        floor(latitude / (pixel * cos(radians(latitude))))::integer
      ));
    end if;
    shapes := shapes || shape;
  end loop;
  execute format(
    'insert into lode.damage_general (zoom, %I, geom) select 11 - s.place, $1, s.geom'
    ' from unnest($2) with ordinality as s(geom, place)', tg_argv[0]
  ) using source, shapes;
  return null;
end
$$;

comment on function lode_api.generalise_damage() is
  'Trigger: draw damaged ground for maps of small scale.';
