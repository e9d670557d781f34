-- Purpose: trigger that draws damaged ground and its change for maps of small scale (lode.damage_general).
-- Rules: at zooms 0 to lode_api.largest_general_zoom() a shape goes on the grid of the pixels, each zoom made
--   from the next larger one. Where it is smaller than they are, a pixel on it stands for it, so that no damage
--   is lost from a map; such pixels of a mine, year and kind (of change: new, persisting, treated) are one row,
--   under the key of the largest shape among them, so that maps of small scale stay small. Mines and years in
--   which a row came, went or changed are drawn again whole, and nothing else: the result is that of drawing
--   everything from nothing.
-- CRS: from EPSG:4326 to EPSG:3857, that of the tiles, so that these transform nothing.
-- Cost: in proportion to the rows of those mines and years, all in one statement.
-- Used by: triggers on lode.mine_damage and lode.damage_change, once a statement. Arguments of the trigger: the
--   columns with key, year and kind; its transition tables are named added and gone.
create function lode_api.generalise_damage() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
declare
  key constant text := tg_argv[0];
  year constant text := tg_argv[1];
  kind constant text := tg_argv[2];
  touched constant text := case tg_op
    when 'INSERT' then 'select a.mine_id, a.%2$I as year from added a'
    when 'DELETE' then 'select g.mine_id, g.%2$I as year from gone g'
    else
      'select v.mine_id, v.year from added a join gone g using (%1$I)'
      ' cross join lateral (values (a.mine_id, a.%2$I), (g.mine_id, g.%2$I)) as v(mine_id, year)'
      ' where (a.mine_id, a.%2$I, a.%3$I, a.area_m2) is distinct from (g.mine_id, g.%2$I, g.%3$I, g.area_m2)'
      ' or not a.geom = g.geom'
  end;
  mines integer[];
  years integer[];
begin
  execute format(
    'select array_agg(t.mine_id), array_agg(t.year) from (select distinct * from (' || touched || ') as u) as t',
    key, year, kind
  ) into mines, years;
  if mines is null then
    return null;
  end if;

  execute format(
    'delete from lode.damage_general g'
    ' using unnest($1, $2) as t(mine_id, year)'
    ' join lode.%4$I d on d.mine_id = t.mine_id and d.%2$I = t.year'
    ' where g.%1$I = d.%1$I',
    key, year, kind, tg_table_name
  ) using mines, years;

  execute format(
    $draw$
      with recursive shape as ( -- ends at the zoom where it is smaller than a pixel
        select d.%1$I as source, d.mine_id, d.%2$I as year, d.%3$I as kind, d.area_m2, v.latitude,
          st_x(v.point) as x, st_y(v.point) as y, $3 as zoom, lode_api.general_shape(d.geom, $3, v.latitude) as geom
        from unnest($1, $2) as t(mine_id, year)
        join lode.%4$I d on d.mine_id = t.mine_id and d.%2$I = t.year
        cross join lateral ( -- a vertex: the middle of a crescent lies outside it
          select lode_api.general_latitude(d.geom) as latitude,
            st_startpoint(st_exteriorring(st_geometryn(d.geom, 1))) as point
          offset 0
        ) as v
        union all
        select h.source, h.mine_id, h.year, h.kind, h.area_m2, h.latitude, h.x, h.y,
          h.zoom - 1, lode_api.general_shape(h.geom, h.zoom - 1, h.latitude)
        from shape h
        where h.zoom > 0 and h.geom is not null
      ),
      cell as (
        select h.mine_id, h.year, h.kind, h.latitude, z.zoom, c.col, c.line,
          (array_agg(h.source order by h.area_m2 desc, h.x, h.y, h.source))[1] as source,
          max(h.area_m2) as area_m2
        from shape h
        cross join generate_series(0, h.zoom) as z(zoom)
        cross join lateral (
          select floor(h.x / p.width)::integer as col,
            floor(h.y / (p.width * cos(radians(h.latitude))))::integer as line
          from (select lode_api.pixel_degrees(z.zoom) as width) as p
        ) as c
        where h.geom is null
        group by h.mine_id, h.year, h.kind, h.latitude, z.zoom, c.col, c.line
      )
      insert into lode.damage_general (zoom, %1$I, mine_id, year, kind, area_m2, geom)
      select n.zoom, n.source, n.mine_id, n.year, n.kind, n.area_m2, st_transform(n.geom, 3857)
      from (
        select h.zoom, h.source, h.mine_id, h.year, h.kind, h.area_m2, h.geom
        from shape h
        where h.geom is not null
        union all
        select c.zoom, (array_agg(c.source order by c.area_m2 desc, c.col, c.line))[1], c.mine_id, c.year, c.kind,
          max(c.area_m2),
          st_multi(st_collect(
            lode_api.pixel_cell(c.zoom, c.latitude, c.col, c.line) order by c.col, c.line
          ))
        from cell c
        group by c.mine_id, c.year, c.kind, c.latitude, c.zoom
      ) as n
      where st_ymax(n.geom) < 89 and st_ymin(n.geom) > -89 -- Web Mercator ends at 85
    $draw$,
    key, year, kind, tg_table_name
  ) using mines, years, lode_api.largest_general_zoom();
  return null;
end
$$;

comment on function lode_api.generalise_damage() is
  'Trigger: draw damaged ground for maps of small scale.';
