-- Purpose: who owns no mine any more loses the grant by which it did, and may be dropped.
-- Rules: roles of Lode's own keep theirs: readers look through the same views.
-- Used by: the trigger on lode.mine_owner.
create function lode_api.release_mine_owner() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
begin
  perform pg_advisory_xact_lock(hashtext('lode mine owners'), 0);
  if not exists (select from lode.mine_owner o where o.role_name = old.role_name)
    and exists (select from pg_roles r where r.rolname = old.role_name)
    and old.role_name <> all(array['lode_owner', 'lode_worker', 'lode_analyst', 'lode_reader', 'lode_mine_owner'])
  then
    execute format('revoke execute on function lode_api.own_mines() from %I', old.role_name);
  end if;
  return null;
end
$$;

comment on function lode_api.release_mine_owner() is
  'Trigger: who owns no mine any more loses the grant by which it did.';
