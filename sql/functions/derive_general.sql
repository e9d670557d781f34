-- Purpose: land cover of runs for maps of small scale, zooms 0 to 12.
-- Rules: a polygon is kept at the zooms where it is as large as a pixel, on the grid of the pixels. Smaller ones
--   are gathered by the cell their middle lies in: a cell that they fill by half or more gets the class with
--   most of their area. A run leaves one cell at least at every zoom, so that a map shows where something is.
--   What of a run counts where scenes overlap is not decided here but by the tiles: it changes later.
-- CRS: EPSG:4326. Units: m2. Cost: in proportion to the polygons of the runs; each zoom is made from the next
--   larger one.
-- Used by: publication; lode_api.derive_all and `lode db refresh`.
create function lode_api.derive_general(run_ids integer[]) returns void
language plpgsql
as $$
begin
  delete from lode.landcover_general where run_id = any(run_ids);

  with recursive place as (
    select o.run_id, (st_ymin(o.geom) + st_ymax(o.geom)) / 2 as latitude
    from lode.observation o
    where o.run_id = any(run_ids)
  ),
  patch as (
    select p.run_id, p.latitude, l.land_class_code, l.landcover_id, l.area_m2, l.mean_probability,
      lode_api.general_zoom(l.area_m2, p.latitude) as level, l.geom
    from place p
    join lode.landcover l on l.run_id = p.run_id
  ),
  shape as (
    select t.run_id, 12 as zoom, t.latitude, t.land_class_code, t.landcover_id, t.area_m2, t.mean_probability,
      t.level, lode_api.general_shape(t.geom, 12, t.latitude) as geom
    from patch t
    where t.level <= 12
    union all
    select h.run_id, h.zoom - 2, h.latitude, h.land_class_code, h.landcover_id, h.area_m2, h.mean_probability,
      h.level, lode_api.general_shape(h.geom, h.zoom - 2, h.latitude)
    from shape h
    where h.zoom > 0 and h.level <= h.zoom - 2 and h.geom is not null
  )
  insert into lode.landcover_general (
    run_id, zoom, land_class_code, landcover_id, area_m2, mean_probability, geom
  )
  select h.run_id, h.zoom, h.land_class_code, h.landcover_id, h.area_m2, h.mean_probability, h.geom
  from shape h
  where h.geom is not null
  order by h.run_id, h.zoom, h.landcover_id;

  with place as (
    select o.run_id, (st_ymin(o.geom) + st_ymax(o.geom)) / 2 as latitude
    from lode.observation o
    where o.run_id = any(run_ids)
  ),
  patch as materialized ( -- gathered in the cells of zoom 12 first: far fewer rows
    select p.run_id, p.latitude, l.land_class_code,
      floor((st_xmin(l.geom) + st_xmax(l.geom)) / 2 / lode_api.pixel_degrees(12))::integer as col,
      floor((st_ymin(l.geom) + st_ymax(l.geom)) / 2
        / (lode_api.pixel_degrees(12) * cos(radians(p.latitude))))::integer as line,
      lode_api.general_zoom(l.area_m2, p.latitude) as level,
      sum(l.area_m2) as area_m2,
      sum(l.area_m2) filter (where l.mean_probability is not null) as known_m2,
      sum(l.area_m2 * l.mean_probability) as probable_m2
    from place p
    join lode.landcover l on l.run_id = p.run_id
    group by 1, 2, 3, 4, 5, 6
  ),
  cell as (
    select t.run_id, z.zoom, t.latitude, t.col >> (12 - z.zoom) as col, t.line >> (12 - z.zoom) as line,
      t.land_class_code, sum(t.area_m2) as area_m2, sum(t.known_m2) as known_m2, sum(t.probable_m2) as probable_m2
    from patch t
    join generate_series(0, 12, 2) as z(zoom) on z.zoom < t.level
    group by 1, 2, 3, 4, 5, 6
  ),
  ranked as (
    select c.*,
      sum(c.area_m2) over (partition by c.run_id, c.zoom, c.col, c.line) as filled_m2,
      row_number() over (
        partition by c.run_id, c.zoom, c.col, c.line order by c.area_m2 desc, c.land_class_code
      ) as place_in_cell,
      row_number() over (
        partition by c.run_id, c.zoom order by c.area_m2 desc, c.land_class_code, c.col, c.line
      ) as place_in_run
    from cell c
  )
  insert into lode.landcover_general (run_id, zoom, land_class_code, area_m2, mean_probability, geom)
  select r.run_id, r.zoom, r.land_class_code, sum(r.area_m2), sum(r.probable_m2) / sum(r.known_m2),
    st_multi(st_union(lode_api.pixel_cell(r.zoom, r.latitude, r.col, r.line) order by r.col, r.line))
  from ranked r
  where r.place_in_cell = 1
    and (
      r.filled_m2 >= lode_api.pixel_area(r.zoom, r.latitude) / 2
      or (
        r.place_in_run = 1
        and not exists (
          select from lode.landcover_general g where g.run_id = r.run_id and g.zoom = r.zoom
        )
      )
    )
  group by r.run_id, r.zoom, r.land_class_code, r.col >> 4, r.line >> 4
  order by r.run_id, r.zoom, r.land_class_code, r.col >> 4, r.line >> 4;
end
$$;

comment on function lode_api.derive_general(integer[]) is
  'Derive again what maps of small scale show of these runs (lode.landcover_general).';
