-- Purpose: a mine is given to a role that is there, not to one that is made under its name some day.
-- Rules: the role must be there, and is granted lode_api.own_mines: that grant is of this very role, goes with it, and
--   keeps DROP ROLE from dropping it before its mines are forgotten. Rows that an earlier role of the same name left
--   are not taken over. A dump has the grant beside the rows, so that both come back together.
-- Used by: the trigger on lode.mine_owner.
create function lode_api.guard_mine_owner() returns trigger
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
declare
  role_id oid;
begin
  perform pg_advisory_xact_lock(hashtext('lode mine owners'), 0); -- two grants on a function at once would fail
  select r.oid into role_id from pg_roles r where r.rolname = new.role_name;
  if role_id is null then
    raise exception 'there is no role %', quote_literal(new.role_name)
      using errcode = 'undefined_object', hint = '`lode role add NAME --as owner --mine CODE` makes one.';
  end if;
  if not exists (
    select from pg_proc p
    where p.oid = 'lode_api.own_mines()'::regprocedure
      and p.proacl @> makeaclitem(role_id, p.proowner, 'EXECUTE', false)
  ) then
    if exists (select from lode.mine_owner o where o.role_name = new.role_name) then
      raise exception 'mines of an earlier role % are still recorded', quote_literal(new.role_name)
        using errcode = 'object_not_in_prerequisite_state',
          hint = format('Delete its rows of lode.mine_owner; or, if it is the same person, after a restore without'
            ' privileges: grant execute on function lode_api.own_mines() to %I', new.role_name);
    end if;
    execute format('grant execute on function lode_api.own_mines() to %I', new.role_name);
  end if;
  return new;
end
$$;

comment on function lode_api.guard_mine_owner() is
  'Trigger: a mine is given to a role that is there, by a grant that goes with it.';
