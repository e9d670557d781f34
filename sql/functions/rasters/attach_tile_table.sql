-- Purpose: make a table of tiles a partition of the table of all tiles of its kind.
-- Rules: with its owner's rights. The table must be one that create_tile_table made for that scene or run: it is of
--   the same owner, has the check on its key and nothing that would run when it is read. Of a scene the key must have
--   been drawn (its row follows in the same transaction), a run, layer or search must be there; whoever may work as
--   the owner attaches what it wants. Afterwards workers insert no more into the table and its overviews.
-- Used by: db/raster/tables.py, which bounds and repeats the wait for the lock.
create function lode_api.attach_tile_table(parent text, owner_id integer, table_name text) returns void
language plpgsql volatile security definer
set search_path = lode, public, pg_temp
as $$
#variable_conflict use_variable
declare
  owner_key constant text := lode_api.tile_owner_key(parent);
  relation text;
begin
  if owner_key is null or owner_id is null then
    raise invalid_parameter_value using message = format('%L has no raster tables', parent);
  end if;
  if not exists (
    select from pg_class c
    join pg_constraint k on k.conrelid = c.oid and k.conname = 'enforce_' || owner_key
    where c.relnamespace = to_regnamespace('lode_raster') and c.relname = table_name and c.relkind = 'r'
      and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
      and not (c.relhastriggers or c.relhasrules or c.relrowsecurity)
      and pg_get_constraintdef(k.oid) = format('CHECK ((%I = %s))', owner_key, owner_id)
  ) then
    raise invalid_parameter_value using message =
      format('%L is no raster table that was made for %s %s', table_name, owner_key, owner_id);
  end if;
  if not pg_has_role(session_user, current_user, 'member') and not (case parent
    when 'scene_tile' then
      owner_id <= coalesce(pg_sequence_last_value('lode.scene_scene_id_seq'::regclass), 0)
      or exists (select from lode.scene s where s.scene_id = owner_id)
    else lode_api.owns_tiles(parent, owner_id, table_name)
  end) then
    raise invalid_parameter_value using message = format('there is no %s %s', owner_key, owner_id);
  end if;
  execute format('alter table lode_raster.%I attach partition lode_raster.%I for values in (%s)',
    parent, table_name, owner_id);
  if exists (select from pg_roles where rolname = 'lode_worker') then
    for relation in
      select c.oid::regclass::text
      from pg_class c
      where c.relnamespace = to_regnamespace('lode_raster') and c.relkind = 'r'
        and (c.relname = table_name or regexp_replace(c.relname, '^o_[0-9]+_', '') = table_name)
        and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
        and current_user <> 'lode_worker'
    loop
      execute format('revoke insert on %s from lode_worker', relation);
    end loop;
  end if;
end
$$;

comment on function lode_api.attach_tile_table(text, integer, text) is
  'Attach a table of tiles to the partitioned table of its kind in lode_raster.';
