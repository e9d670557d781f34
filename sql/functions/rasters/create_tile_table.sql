-- Purpose: an empty table of tiles, or of an overview's, in schema lode_raster; attach_tile_table attaches it later.
-- Rules: with its owner's rights, so that whoever brings scenes in owns nothing and may create nowhere. All of the
--   table is written here from typed arguments: nobody hands in an expression, a default or a trigger. The constraints
--   are those of AddRasterConstraints under their own names, on the empty table. Numbers are written with all their
--   digits. Workers may insert until the table is attached. For a worker a table is made only for a scene whose key was
--   drawn, a run that is computed or published, or a layer or search that names it; an overview only of such a table
--   in the same transaction; and lode_api.settle_tile_table refuses at its end what has not become its owner's tiles.
-- Arguments: factor 1 is the table itself, else an overview of it. sample is a tile of one pixel with the bands' types
--   and nodata, alignment an empty raster on the table's grid; bounds and scales in units of the SRID; widths and
--   heights are the sides that tiles have, px, the usual one first.
-- Used by: db/raster/tables.py.
create function lode_api.create_tile_table(
  table_name text, factor integer, parent text, owner_id integer, sample raster, alignment raster,
  min_x double precision, min_y double precision, max_x double precision, max_y double precision,
  scale_x double precision, scale_y double precision, widths integer[], heights integer[], storage text, about text
)
returns text
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
set extra_float_digits = 1
as $$
#variable_conflict use_variable
declare
  owner_key constant text := lode_api.tile_owner_key(parent);
  made constant text := case when factor = 1 then table_name else format('o_%s_%s', factor, table_name) end;
  srid constant integer := st_srid(sample);
  scales text[];
  role_name text;
begin
  if coalesce(table_name !~ '^[a-z][a-z0-9_]{0,37}$', true) then
    raise invalid_parameter_value using message = format('%L cannot name a raster table', table_name);
  end if;
  if owner_key is null or owner_id is null
    or coalesce(factor <> all(array[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]), true)
    or coalesce(storage not in ('external', 'lz4'), true)
  then
    raise invalid_parameter_value using message = 'a raster table needs a parent, its key, a factor and a storage';
  end if;
  if alignment is null or coalesce(st_numbands(sample), 0) < 1 or true = any(_raster_constraint_out_db(sample)) then
    raise invalid_parameter_value using message = 'a raster table needs a sample with bands of its own and a grid';
  end if;
  if coalesce(cardinality(widths) not between 1 and 2 or cardinality(heights) not between 1 and 2, true)
    or exists (select from unnest(widths || heights) as s(side) where side is null or side not between 1 and 4096)
    or num_nulls(min_x, min_y, max_x, max_y, scale_x, scale_y) > 0
  then
    raise invalid_parameter_value using message = 'a raster table needs bounds, scales, and sides of 1 to 4096 px';
  end if;
  if not pg_has_role(session_user, current_user, 'member') then
    if factor = 1 then
      if not (case parent
        when 'scene_tile' then
          owner_id between 1 and coalesce(pg_sequence_last_value('lode.scene_scene_id_seq'::regclass), 0)
        when 'probability' then
          exists (select from lode.run r where r.run_id = owner_id and r.status in ('running', 'published'))
        else lode_api.owns_tiles(parent, owner_id, table_name)
      end) then
        raise invalid_parameter_value using message = format('there is no %s %s', owner_key, owner_id);
      end if;
      insert into lode.tile_table (table_name, parent, owner_id) values (table_name, parent, owner_id);
    elsif not exists (
      select from lode.tile_table t
      where t.table_name = create_tile_table.table_name and t.parent = create_tile_table.parent
        and t.owner_id = create_tile_table.owner_id
    ) then
      raise invalid_parameter_value using message = format('%L is no raster table of this transaction', table_name);
    end if;
  end if;

  execute format(
    'create table lode_raster.%I (rid integer primary key, %s rast public.raster not null)', made,
    case when factor = 1 then
      format('%1$I integer not null constraint %2$I check (%1$I = %3$s),', owner_key, 'enforce_' || owner_key, owner_id)
    end
  );
  execute format(
    'alter table lode_raster.%I alter column rast set storage %s', made,
    case storage when 'lz4' then 'main' else 'external' end -- main: a class map's small tile stays in its row
  );
  if storage = 'lz4' and exists (
    select from pg_settings where name = 'default_toast_compression' and 'lz4' = any(enumvals)
  ) then
    execute format('alter table lode_raster.%I alter column rast set compression lz4', made);
  end if;

  -- The scales pass through double precision, as those of the tiles do; the literal itself would be numeric.
  select array_agg(case when s.digits ~ '[.en]' then s.digits else s.digits || '.0' end order by s.place) into scales
  from unnest(array[scale_x::text, scale_y::text]) with ordinality as s(digits, place);
  execute format('alter table lode_raster.%I', made)
    || format(' add constraint enforce_srid_rast check (st_srid(rast) = %s)', srid)
    || format(', add constraint enforce_scalex_rast check (round(st_scalex(rast)::numeric, 10)'
      ' = round(%s::double precision::numeric, 10))', scales[1])
    || format(', add constraint enforce_scaley_rast check (round(st_scaley(rast)::numeric, 10)'
      ' = round(%s::double precision::numeric, 10))', scales[2])
    || format(', add constraint enforce_width_rast check (st_width(rast) in (%s))', array_to_string(widths, ', '))
    || format(', add constraint enforce_height_rast check (st_height(rast) in (%s))', array_to_string(heights, ', '))
    || format(', add constraint enforce_same_alignment_rast check (st_samealignment(rast, %L::raster))', alignment)
    || format(', add constraint enforce_num_bands_rast check (st_numbands(rast) = %s)', st_numbands(sample))
    || format(', add constraint enforce_nodata_values_rast'
      ' check (_raster_constraint_nodata_values(rast)::numeric[] = %L::numeric[])',
      _raster_constraint_nodata_values(sample))
    || format(', add constraint enforce_pixel_types_rast check (_raster_constraint_pixel_types(rast) = %L::text[])',
      _raster_constraint_pixel_types(sample))
    || format(', add constraint enforce_out_db_rast check (_raster_constraint_out_db(rast) = %L::boolean[])',
      _raster_constraint_out_db(sample))
    || format(', add constraint enforce_max_extent_rast check (st_envelope(rast) @ %L::geometry)',
      st_makeenvelope(min_x, min_y, max_x, max_y, srid));
  execute format(
    'create index %I on lode_raster.%I using gist (st_convexhull(rast))', made || '_st_convexhull_idx', made
  );
  execute format('comment on table lode_raster.%I is %L', made, about);

  -- Who may read the parent may read it too.
  for role_name in
    select r.rolname
    from pg_class c
    cross join lateral aclexplode(c.relacl) as a
    join pg_roles r on r.oid = a.grantee
    where c.oid = to_regclass('lode_raster.' || parent) and a.privilege_type = 'SELECT'
      and not has_table_privilege(r.oid, format('lode_raster.%I', made), 'select')
  loop
    execute format('grant select on lode_raster.%I to %I', made, role_name);
  end loop;
  if exists (select from pg_roles where rolname = 'lode_worker') then
    execute format('grant insert on lode_raster.%I to lode_worker', made);
  end if;
  return made;
end
$$;

comment on function lode_api.create_tile_table(
  text, integer, text, integer, raster, raster, double precision, double precision, double precision,
  double precision, double precision, double precision, integer[], integer[], text, text
) is 'Create an empty table of tiles in lode_raster; returns its name.';
