-- Purpose: vector tile (MVT) of damaged ground in mines and of its change.
-- Rules: layer damage is lode.mine_damage of the year; layer change is lode.damage_change up to that year from
--   the one observed before. Up to lode_api.largest_general_zoom() both come from lode.damage_general, where a
--   pixel stands for what is smaller; of several of one kind (of one change) in a pixel the largest is kept.
--   The largest 4,000 of each layer. Without a year: the newest with damage. Empty where there is no such tile or
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
  ground constant geometry := lode_api.tile_ground(z, x, y);
  pixel double precision;
  top constant integer := lode_api.largest_general_zoom();
  wanted integer := year;
  damage bytea;
  change bytea;
begin
  if ground is null then
    return ''::bytea;
  end if;
  pixel := lode_api.pixel_degrees(z);
  if wanted is null then
    select max(d.year) into wanted from lode.mine_damage d;
  end if;

  with found as (
    select d.mine_damage_id, d.mine_id, d.damage_kind, d.area_m2, d.geom
    from lode.mine_damage d
    where z > top and d.year = wanted and d.geom && ground
    union all
    select g.mine_damage_id, g.mine_id, g.kind, g.area_m2, g.geom
    from lode.damage_general g
    where z <= top and g.zoom = z and g.year = wanted and g.mine_damage_id is not null and g.geom && ground
  ),
  shown as (
    select distinct on (p.west, p.south, p.damage_kind, p.alone) p.*
    from (
      select f.*,
        case when v.is_small then round(st_xmin(f.geom) / pixel * 1000) end as west,
        case when v.is_small then round(st_ymin(f.geom) / pixel * 1000) end as south,
        case when not v.is_small then f.mine_damage_id end as alone
      from found f
      cross join lateral (
        select z <= top and greatest(
          st_xmax(f.geom) - st_xmin(f.geom), st_ymax(f.geom) - st_ymin(f.geom)
        ) <= pixel * 1.5 as is_small
        offset 0 -- once a row
      ) as v
    ) as p
    order by p.west, p.south, p.damage_kind, p.alone, p.area_m2 desc, p.mine_damage_id
  ),
  feature as materialized (
    select s.mine_damage_id, s.mine_damage_id as ogc_fid, m.code as mine_code, m.name as mine_name,
      s.damage_kind, wanted as year, s.area_m2, lode_api.tile_shape(s.geom, z, x, y, ground) as geom
    from (select * from shown order by shown.area_m2 desc, shown.mine_damage_id limit 4000) as s
    join lode.mine m on m.mine_id = s.mine_id
  )
  select st_asmvt(f, 'damage', 4096, 'geom', 'mine_damage_id') into damage
  from (
    select * from feature g where g.geom is not null order by g.area_m2 desc, g.mine_damage_id
  ) as f;

  with found as (
    select d.damage_change_id, d.mine_id, d.change, d.area_m2, d.geom
    from lode.damage_change d
    where z > top and d.to_year = wanted and d.geom && ground
    union all
    select g.damage_change_id, g.mine_id, g.kind, g.area_m2, g.geom
    from lode.damage_general g
    where z <= top and g.zoom = z and g.year = wanted and g.damage_change_id is not null and g.geom && ground
  ),
  shown as (
    select distinct on (p.west, p.south, p.change, p.alone) p.*
    from (
      select f.*,
        case when v.is_small then round(st_xmin(f.geom) / pixel * 1000) end as west,
        case when v.is_small then round(st_ymin(f.geom) / pixel * 1000) end as south,
        case when not v.is_small then f.damage_change_id end as alone
      from found f
      cross join lateral (
        select z <= top and greatest(
          st_xmax(f.geom) - st_xmin(f.geom), st_ymax(f.geom) - st_ymin(f.geom)
        ) <= pixel * 1.5 as is_small
        offset 0 -- once a row
      ) as v
    ) as p
    order by p.west, p.south, p.change, p.alone, p.area_m2 desc, p.damage_change_id
  ),
  feature as materialized (
    select s.damage_change_id, s.damage_change_id as ogc_fid, c.code, m.code as mine_code,
      m.name as mine_name, s.change, c.damage_kind, c.from_year, c.to_year, s.area_m2,
      lode_api.tile_shape(s.geom, z, x, y, ground) as geom
    from (select * from shown order by shown.area_m2 desc, shown.damage_change_id limit 4000) as s
    join lode.damage_change c on c.damage_change_id = s.damage_change_id
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
