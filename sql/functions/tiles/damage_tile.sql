-- Purpose: vector tile (MVT) of damaged ground in mines and of its change.
-- Rules: layer damage is lode.mine_damage of the year; layer change is lode.damage_change up to that year from
--   the one observed before. Up to lode_api.largest_general_zoom() both come from lode.damage_general, where a
--   pixel stands for what is smaller; of several of one kind (of one change) in a pixel the largest is kept.
--   The largest 3,000 of each layer. Without a year: the newest with damage. Empty where there is no such tile or
--   nothing of that year.
-- Layers: damage, change; extent 4096; ogc_fid and the feature's id are the keys of the tables.
-- Units: area_m2 is geodesic and of the whole shape, also where only a part is drawn.
-- Rights: its owner's, so that a role of map servers draws what is published and reads no table behind it.
-- Used by: pg_tileserv; martin by way of lode_api.damage_tile_query.
create function lode_api.damage_tile(z integer, x integer, y integer, year integer default null)
returns bytea
language plpgsql stable parallel safe security definer
set search_path = lode, public, pg_temp
set plan_cache_mode = force_custom_plan -- a zoom and a place say how many rows to expect
set jit = off
as $$
#variable_conflict use_variable
declare
  envelope geometry;
  ground constant geometry := lode_api.tile_ground(z, x, y);
  pixel_m double precision;
  top constant integer := lode_api.largest_general_zoom();
  wanted integer := year;
  tile bytea;
begin
  if ground is null then
    return ''::bytea;
  end if;
  envelope := st_tileenvelope(z, x, y);
  pixel_m := (st_xmax(envelope) - st_xmin(envelope)) / 256;
  if wanted is null then
    select max(d.year) into wanted from lode.mine_damage d;
  end if;

  with found as ( -- outlines in EPSG:3857 up to that zoom, further in those of the tables
    select g.mine_damage_id, g.damage_change_id, g.mine_id, g.kind, g.area_m2, g.geom,
      greatest(
        st_xmax(g.geom) - st_xmin(g.geom), st_ymax(g.geom) - st_ymin(g.geom)
      ) <= pixel_m * 1.5 as is_small
    from lode.damage_general g
    where z <= top and g.zoom = z and g.year = wanted and g.geom && st_expand(envelope, pixel_m * 4)
    union all
    select d.mine_damage_id, null, d.mine_id, d.damage_kind, d.area_m2, d.geom, false
    from lode.mine_damage d
    where z > top and d.year = wanted and d.geom && ground
    union all
    select null, c.damage_change_id, c.mine_id, c.change, c.area_m2, c.geom, false
    from lode.damage_change c
    where z > top and c.to_year = wanted and c.geom && ground
  ),
  shown as (
    select distinct on (f.is_change, f.west, f.south, f.kind, f.alone) f.*
    from (
      select n.*, n.damage_change_id is not null as is_change,
        case when n.is_small then round(st_xmin(n.geom) / pixel_m * 1000) end as west,
        case when n.is_small then round(st_ymin(n.geom) / pixel_m * 1000) end as south,
        case when not n.is_small then coalesce(n.mine_damage_id, n.damage_change_id) end as alone
      from found n
    ) as f
    order by f.is_change, f.west, f.south, f.kind, f.alone, f.area_m2 desc, f.mine_damage_id,
      f.damage_change_id
  ),
  ranked as (
    select s.*, row_number() over (
      partition by s.is_change order by s.area_m2 desc, s.mine_damage_id, s.damage_change_id
    ) as place
    from shown s
  ),
  feature as materialized (
    select r.mine_damage_id, r.damage_change_id, r.kind, r.area_m2, r.place, r.is_change, m.code as mine_code,
      m.name as mine_name,
      case
        when z <= top then st_asmvtgeom(r.geom, envelope, 4096, 64, not r.geom @ envelope)
        else lode_api.tile_shape(r.geom, z, x, y, ground)
      end as geom
    from ranked r
    join lode.mine m on m.mine_id = r.mine_id
    where r.place <= 3000
  )
  select coalesce(l.damage, ''::bytea) || coalesce(l.change, ''::bytea) into tile
  from (
    select (
        select st_asmvt(d, 'damage', 4096, 'geom', 'mine_damage_id')
        from (
          select f.mine_damage_id, f.mine_damage_id as ogc_fid, f.mine_code, f.mine_name, f.kind as damage_kind,
            wanted as year, f.area_m2, f.geom
          from feature f
          where not f.is_change and f.geom is not null
          order by f.place
        ) as d
      ) as damage,
      (
        select st_asmvt(c, 'change', 4096, 'geom', 'damage_change_id')
        from (
          select f.damage_change_id, f.damage_change_id as ogc_fid, t.code, f.mine_code, f.mine_name,
            f.kind as change, t.damage_kind, t.from_year, t.to_year, f.area_m2, f.geom
          from feature f
          join lode.damage_change t on t.damage_change_id = f.damage_change_id
          where f.is_change and f.geom is not null
          order by f.place
        ) as c
      ) as change
  ) as l;
  return tile;
end
$$;

comment on function lode_api.damage_tile(integer, integer, integer, integer) is
  'Damaged ground (layer damage) and its change (layer change) as a vector tile; year: default the newest.';
