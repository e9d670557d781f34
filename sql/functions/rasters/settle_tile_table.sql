-- Purpose: what create_tile_table made for a worker is kept as the tiles of a scene, run, ..., or not at all.
-- Rules: looked at when the transaction commits: the table is attached for its key, and that scene, run or layer
--   names it as its own.
-- Used by: the trigger on lode.tile_table.
create function lode_api.settle_tile_table() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  if not exists (
    select from pg_inherits h
    where h.inhrelid = to_regclass(format('lode_raster.%I', new.table_name))
      and h.inhparent = to_regclass(format('lode_raster.%I', new.parent))
  ) or not lode_api.owns_tiles(new.parent, new.owner_id, new.table_name) then
    raise exception 'raster table % was made for % %, and is not its tiles',
      new.table_name, replace(lode_api.tile_owner_key(new.parent), '_id', ''), new.owner_id
      using errcode = 'check_violation', hint = 'Tables of tiles are made, filled and attached in one transaction.';
  end if;
  delete from lode.tile_table t where t.table_name = new.table_name;
  return null;
end
$$;

comment on function lode_api.settle_tile_table() is
  'Trigger: a table of tiles that a worker made is a scene''s, run''s, ... when its transaction ends.';
