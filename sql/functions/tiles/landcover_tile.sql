-- Purpose: vector tile (MVT) of the published polygons that stand for their scene.
-- Rules: the polygons of lode_api.landcover_map, but where scenes of the year overlap only the part that counts
--   (lode.observation.owned), so that no ground is drawn twice. Up to lode_api.largest_general_zoom() they come
--   from lode.landcover_general, further in from lode.landcover. What is smaller than a pixel is left out; the
--   largest patches come first and a tile holds 10,000 of them at most. Without a year: the newest with a map.
--   Empty where there is no such tile or no map of that year.
-- Layer: landcover, extent 4096; ogc_fid and the feature's id are landcover_id (none for cells that patches
--   smaller than a pixel fill together).
-- Units: area_m2 is the published geodesic area of the whole polygon, also where only a part is drawn.
-- Rights: its owner's, so that a role of map servers draws what is published and reads no table behind it.
-- Used by: pg_tileserv; martin by way of lode_api.landcover_tile_query.
create function lode_api.landcover_tile(z integer, x integer, y integer, year integer default null)
returns bytea
language plpgsql stable parallel safe security definer
set search_path = lode, public, pg_temp
set plan_cache_mode = force_custom_plan -- a zoom and a place say how many rows to expect
set jit = off
as $$
#variable_conflict use_variable
declare
  ground constant geometry := lode_api.tile_ground(z, x, y);
  latitude double precision;
  least_m2 double precision;
  top constant integer := lode_api.largest_general_zoom();
  wanted integer := year;
  tile bytea;
begin
  if ground is null then
    return ''::bytea;
  end if;
  latitude := (st_ymin(ground) + st_ymax(ground)) / 2;
  least_m2 := lode_api.pixel_area(z, latitude);
  if wanted is null then
    select max(o.year) into wanted from lode.observation o where o.owned is not null;
  end if;

  with seen as materialized ( -- counts: null where all that the run saw counts
    select o.run_id,
      case
        when o.owned_area_m2 >= o.area_m2 * (1 - 1e-9) then null -- what an overlay rounds off is no gap
        when z > top then st_intersection(o.owned, ground)
        else coalesce(
          st_buffer(lode_api.general_shape(
            coalesce(st_clipbybox2d(o.owned, ground::box2d), o.owned), z + 4, latitude
          ), 0),
          st_setsrid('multipolygon empty'::geometry, 4326)
        )
      end as counts
    from lode.observation o
    join lode.run r on r.run_id = o.run_id and r.is_current
    join lode.scene s on s.scene_id = r.scene_id and s.superseded_by is null
    where o.year = wanted and o.owned && ground
  ),
  patch as (
    select l.landcover_id, l.land_class_code, l.area_m2, l.mean_probability, l.geom, v.counts,
      v.counts is null or st_covers(v.counts, st_envelope(l.geom)) as is_whole
    from seen v
    join lode.landcover l on l.run_id = v.run_id
    where z > top and l.geom && ground and l.area_m2 >= least_m2
    union all
    select g.landcover_id, g.land_class_code, g.area_m2, g.mean_probability, c.geom, v.counts,
      v.counts is null or st_covers(v.counts, st_envelope(c.geom))
    from seen v
    join lode.landcover_general g on g.run_id = v.run_id
    cross join lateral (
      select case
        when v.counts is null then g.geom
        else coalesce(st_clipbybox2d(g.geom, ground::box2d), g.geom) -- where the algorithm gives up
      end as geom
      offset 0 -- clipped once
    ) c
    where z <= top and g.zoom = z and g.geom && ground
  ),
  largest as (
    select p.* from patch p
    order by p.area_m2 desc, p.landcover_id, p.land_class_code
    limit 10000
  ),
  feature as materialized ( -- or else every shape is computed twice, to test it and to draw it
    select
      p.landcover_id,
      p.landcover_id as ogc_fid,
      c.land_class_code,
      c.key as land_class,
      c.name as land_class_name,
      c.name_zh as land_class_name_zh,
      c.colour,
      p.area_m2,
      p.mean_probability,
      lode_api.tile_shape(
        case
          when p.is_whole then p.geom
          -- neighbours of what counts share an edge with it; a buffer makes valid faster than st_makevalid
          when z <= top then st_collectionextract(st_intersection(st_buffer(p.geom, 0), p.counts), 3)
          when lode_api.meets(p.counts, p.geom) then lode_api.cut_out(
            lode_api.near_part(p.counts, p.geom), p.geom
          )
        end, z, x, y, ground
      ) as geom
    from largest p
    join lode.land_class c on c.land_class_code = p.land_class_code
  )
  select st_asmvt(f, 'landcover', 4096, 'geom', 'landcover_id') into tile
  from (
    select * from feature g where g.geom is not null
    order by g.area_m2 desc, g.landcover_id, g.land_class_code
  ) as f;
  return coalesce(tile, ''::bytea);
end
$$;

comment on function lode_api.landcover_tile(integer, integer, integer, integer) is
  'Land cover of a year as a vector tile (layer landcover); year: default the newest with a map.';
