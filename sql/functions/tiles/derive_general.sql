-- Purpose: land cover of runs for maps of small scale, zooms 0 to lode_api.largest_general_zoom().
-- Rules: a polygon is kept at the zooms where it has 8 pixels, on the grid of the pixels. Smaller ones are
--   gathered by the cell of 4 x 4 pixels their middle lies in: a cell that they fill by a quarter or more gets
--   the class with most of their area, as far as the run's bounding box and half a pixel more reach. A run
--   leaves one cell at least at every zoom, so that a map shows where something is. What of a run counts where
--   scenes overlap is not decided here but by the tiles: it changes later.
-- CRS: EPSG:4326. Units: m2. Cost: in proportion to the polygons of the runs; each zoom is made from the next
--   larger one.
-- Used by: lode_api.derive_outlines.
create function lode_api.derive_general(run_ids integer[]) returns void
language plpgsql
as $$
declare
  top constant integer := lode_api.largest_general_zoom();
  cell_width constant double precision := lode_api.pixel_degrees(top - 2); -- of 4 pixels of that zoom
begin
  delete from lode.landcover_general where run_id = any(run_ids);

  with recursive place as materialized (
    select o.run_id, v.latitude, 8 * lode_api.pixel_area(top, v.latitude) as least_m2
    from lode.observation o
    cross join lateral (select (st_ymin(o.geom) + st_ymax(o.geom)) / 2 as latitude) as v
    where o.run_id = any(run_ids)
  ),
  patch as (
    select p.run_id, p.latitude, l.land_class_code, l.landcover_id, l.area_m2, l.mean_probability,
      lode_api.general_zoom(l.area_m2, p.latitude) as level, l.geom
    from place p
    join lode.landcover l on l.run_id = p.run_id and l.area_m2 >= p.least_m2
  ),
  shape as (
    select t.run_id, top as zoom, t.latitude, t.land_class_code, t.landcover_id, t.area_m2, t.mean_probability,
      t.level, lode_api.general_shape(t.geom, top, t.latitude) as geom
    from patch t
    where t.level <= top
    union all
    select h.run_id, h.zoom - 1, h.latitude, h.land_class_code, h.landcover_id, h.area_m2, h.mean_probability,
      h.level, lode_api.general_shape(h.geom, h.zoom - 1, h.latitude)
    from shape h
    where h.zoom > 0 and h.level <= h.zoom - 1 and h.geom is not null
  )
  insert into lode.landcover_general (
    run_id, zoom, land_class_code, landcover_id, area_m2, mean_probability, geom
  )
  select h.run_id, h.zoom, h.land_class_code, h.landcover_id, h.area_m2, h.mean_probability, h.geom
  from shape h
  where h.geom is not null
  order by h.run_id, h.zoom, h.landcover_id;

  with place as materialized (
    select o.run_id, v.latitude, 8 * lode_api.pixel_area(0, v.latitude) as whole_m2,
      cell_width * cos(radians(v.latitude)) as cell_height
    from lode.observation o
    cross join lateral (select (st_ymin(o.geom) + st_ymax(o.geom)) / 2 as latitude) as v
    where o.run_id = any(run_ids)
  ),
  patch as materialized ( -- gathered in the cells of the largest zoom first: far fewer rows
    select p.run_id, l.land_class_code,
      floor((st_xmin(l.geom) + st_xmax(l.geom)) / 2 / cell_width)::integer as col,
      floor((st_ymin(l.geom) + st_ymax(l.geom)) / 2 / p.cell_height)::integer as line,
      greatest(ceil(ln(p.whole_m2 / l.area_m2) / ln(4)), 0)::integer as level, -- as general_zoom, but faster
      sum(l.area_m2 order by l.area_m2) as area_m2,
      sum(l.area_m2 order by l.area_m2) filter (where l.mean_probability is not null) as known_m2,
      sum(l.area_m2 * l.mean_probability order by l.area_m2 * l.mean_probability) as probable_m2
    from place p
    join lode.landcover l on l.run_id = p.run_id
    group by 1, 2, 3, 4, 5
  ),
  cell as (
    select t.run_id, z.zoom, t.col >> (top - z.zoom) as col, t.line >> (top - z.zoom) as line, t.land_class_code,
      sum(t.area_m2 order by t.area_m2) as area_m2, sum(t.known_m2 order by t.known_m2) as known_m2,
      sum(t.probable_m2 order by t.probable_m2) as probable_m2
    from patch t
    join generate_series(0, top) as z(zoom) on z.zoom < t.level
    group by 1, 2, 3, 4, 5
  ),
  ranked as (
    select c.*,
      sum(c.area_m2) over (
        in_cell rows between unbounded preceding and unbounded following
      ) as filled_m2,
      row_number() over in_cell as place_in_cell,
      row_number() over (
        partition by c.run_id, c.zoom order by c.area_m2 desc, c.land_class_code, c.col, c.line
      ) as place_in_run
    from cell c
    window in_cell as (
      partition by c.run_id, c.zoom, c.col, c.line order by c.area_m2 desc, c.land_class_code
    )
  )
  insert into lode.landcover_general (run_id, zoom, land_class_code, area_m2, mean_probability, geom)
  select r.run_id, r.zoom, r.land_class_code, sum(r.area_m2 order by r.area_m2),
    sum(r.probable_m2 order by r.probable_m2) / sum(r.known_m2 order by r.known_m2),
    st_multi(st_collectionextract(st_intersection(
      st_union(lode_api.pixel_cell(r.zoom - 2, p.latitude, r.col, r.line) order by r.col, r.line),
      st_expand(st_envelope(o.geom), lode_api.pixel_degrees(r.zoom) / 2)
    ), 3))
  from ranked r
  join place p on p.run_id = r.run_id
  join lode.observation o on o.run_id = r.run_id
  where r.place_in_cell = 1
    and (
      r.filled_m2 >= lode_api.pixel_area(r.zoom, p.latitude) * 4
      or (
        r.place_in_run = 1
        and not exists (
          select from lode.landcover_general g where g.run_id = r.run_id and g.zoom = r.zoom
        )
      )
    )
  group by r.run_id, o.run_id, r.zoom, r.land_class_code, r.col >> 4, r.line >> 4
  order by r.run_id, r.zoom, r.land_class_code, r.col >> 4, r.line >> 4;
end
$$;

comment on function lode_api.derive_general(integer[]) is
  'Derive again what maps of small scale show of these runs (lode.landcover_general).';
