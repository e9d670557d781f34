-- Purpose: the raster of a search for ore says in its comment that the search was withdrawn.
-- Rules: with its owner's rights, as PostgreSQL lets a table's owner alone comment on it. Only the partition of the
--   search's key, with its overviews. Where a withdrawal is taken back the mark goes. Readers are not kept waiting.
-- Used by: the trigger on lode.prospect_run.
create function lode_api.mark_withdrawn() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
declare
  relation record;
begin
  for relation in
    select
      o.oid::regclass::text as name,
      regexp_replace(coalesce(obj_description(o.oid, 'pg_class'), ''), '^WITHDRAWN on [0-9-]+[.] ', '') as about
    from pg_class c
    join pg_inherits h on h.inhrelid = c.oid and h.inhparent = to_regclass('lode_raster.prospect_score')
    join pg_class o on o.relnamespace = c.relnamespace and o.relkind = 'r' and o.relowner = c.relowner
      and (o.oid = c.oid or regexp_replace(o.relname, '^o_[0-9]+_', '') = c.relname)
    where c.relname = new.tile_table
      and c.relowner = (select r.oid from pg_roles r where r.rolname = current_user)
      and pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%s)', new.prospect_run_id)
  loop
    execute format('comment on table %s is %L', relation.name,
      coalesce(to_char(new.withdrawn_at at time zone 'UTC', '"WITHDRAWN on "YYYY-MM-DD". "'), '') || relation.about);
  end loop;
  return null;
end
$$;

comment on function lode_api.mark_withdrawn() is
  'Trigger: the raster of a search says in its comment that the search was withdrawn.';
