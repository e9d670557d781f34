-- Purpose: vector tile (MVT) of damaged ground in mines and of its change.
-- Rules: layer damage is lode.mine_damage of the year; layer change is lode.damage_change up to that year from
--   the one observed before. Up to zoom 10 both are drawn from lode.damage_general, where one pixel stands for
--   what is smaller; of several of one kind (of one change) in a pixel the largest is kept. 10,000 of each layer
--   at most. Without a year: the newest with damage.
-- Layers: damage, change; extent 4096; ogc_fid and the feature's id are the keys of the tables.
-- Units: area_m2 is geodesic and of the whole shape, also where only a part is drawn.
-- Used by: pg_tileserv; martin by way of lode_api.damage_tile_query.
create function lode_api.damage_tile(z integer, x integer, y integer, year integer default null)
returns bytea
language plpgsql stable parallel safe
set plan_cache_mode = force_custom_plan -- a zoom and a place say how many rows to expect
set jit = off
as $$
#variable_conflict use_variable
declare
  ground constant geometry := lode_api.tile_ground(z, x, y);
  pixel constant double precision := lode_api.pixel_degrees(z);
  wanted integer := year;
  damage bytea;
  change bytea;
begin
  if wanted is null then
    select max(d.year) into wanted from lode.mine_damage d;
  end if;

  with found as (
    select d.mine_damage_id, d.geom
    from lode.mine_damage d
    where z > 10 and d.year = wanted and d.geom && ground
    union all
    select d.mine_damage_id, g.geom
    from lode.damage_general g
    join lode.mine_damage d on d.mine_damage_id = g.mine_damage_id and d.year = wanted
    where z <= 10 and g.zoom = z and g.geom && ground
  ),
  shown as (
    select distinct on (p.col, p.line, p.damage_kind, p.alone) p.*
    from (
      select d.mine_damage_id, d.mine_id, d.damage_kind, d.area_m2, f.geom,
        case when v.is_small then floor(st_xmin(f.geom) / pixel + 0.5) end as col,
        case when v.is_small then floor(st_ymin(f.geom) / pixel + 0.5) end as line,
        case when not v.is_small then d.mine_damage_id end as alone
      from found f
      join lode.mine_damage d on d.mine_damage_id = f.mine_damage_id
      cross join lateral (
        select z <= 10 and st_xmax(f.geom) - st_xmin(f.geom) <= pixel * 1.5 as is_small
      ) as v
    ) as p
    order by p.col, p.line, p.damage_kind, p.alone, p.area_m2 desc, p.mine_damage_id
  ),
  feature as materialized (
    select s.mine_damage_id, s.mine_damage_id as ogc_fid, m.code as mine_code, m.name as mine_name,
      s.damage_kind, wanted as year, s.area_m2, lode_api.tile_shape(s.geom, z, x, y, ground) as geom
    from (select * from shown order by shown.area_m2 desc, shown.mine_damage_id limit 10000) as s
    join lode.mine m on m.mine_id = s.mine_id
  )
  select st_asmvt(f, 'damage', 4096, 'geom', 'mine_damage_id') into damage
  from (
    select * from feature g where g.geom is not null order by g.area_m2 desc, g.mine_damage_id
  ) as f;

  with found as (
    select d.damage_change_id, d.geom
    from lode.damage_change d
    where z > 10 and d.to_year = wanted and d.geom && ground
    union all
    select d.damage_change_id, g.geom
    from lode.damage_general g
    join lode.damage_change d on d.damage_change_id = g.damage_change_id and d.to_year = wanted
    where z <= 10 and g.zoom = z and g.geom && ground
  ),
  shown as (
    select distinct on (p.col, p.line, p.change, p.alone) p.*
    from (
      select d.damage_change_id, d.mine_id, d.code, d.change, d.damage_kind, d.from_year, d.to_year, d.area_m2,
        f.geom,
        case when v.is_small then floor(st_xmin(f.geom) / pixel + 0.5) end as col,
        case when v.is_small then floor(st_ymin(f.geom) / pixel + 0.5) end as line,
        case when not v.is_small then d.damage_change_id end as alone
      from found f
      join lode.damage_change d on d.damage_change_id = f.damage_change_id
      cross join lateral (
        select z <= 10 and st_xmax(f.geom) - st_xmin(f.geom) <= pixel * 1.5 as is_small
      ) as v
    ) as p
    order by p.col, p.line, p.change, p.alone, p.area_m2 desc, p.damage_change_id
  ),
  feature as materialized (
    select s.damage_change_id, s.damage_change_id as ogc_fid, s.code, m.code as mine_code,
      m.name as mine_name, s.change, s.damage_kind, s.from_year, s.to_year, s.area_m2,
      lode_api.tile_shape(s.geom, z, x, y, ground) as geom
    from (select * from shown order by shown.area_m2 desc, shown.damage_change_id limit 10000) as s
    join lode.mine m on m.mine_id = s.mine_id
  )
  select st_asmvt(f, 'change', 4096, 'geom', 'damage_change_id') into change
  from (
    select * from feature g where g.geom is not null order by g.area_m2 desc, g.damage_change_id
  ) as f;
  return coalesce(damage, ''::bytea) || coalesce(change, ''::bytea);
end
$$;

comment on function lode_api.damage_tile(integer, integer, integer, integer) is
  'Damaged ground (layer damage) and its change (layer change) as a vector tile; year: default the newest.';
