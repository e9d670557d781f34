-- Purpose: the mines of whoever is logged in, by lode.mine_owner.
-- Rules: a mine is shown to the logins named there and to members of a role named there. A name alone gives nothing:
--   the role itself must have been granted this function, which lode_api.guard_mine_owner does; a later role of the
--   same name has no such grant. Who is logged in is session_user: here, with the owner's rights, current_user is the
--   owner, and `set role` must neither give nor take away. With its owner's rights, so that nobody else need read the
--   table of owners, and so that EXPLAIN says nothing of what it looks through.
-- Used by: the views lode_api.own_*, whose readers need the right to execute it.
create function lode_api.own_mines()
returns table (mine_id integer, mine_code text, mine_name text)
language plpgsql stable security definer rows 10 -- a function in SQL would be planned anew at each call
set search_path = lode, pg_catalog, pg_temp
as $$
declare
  granted aclitem[];
  granter oid;
begin
  select p.proacl, p.proowner into granted, granter
  from pg_proc p
  where p.oid = 'lode_api.own_mines()'::regprocedure;
  return query
  select m.mine_id, m.code, m.name
  from lode.mine m
  where m.mine_id in (
    select o.mine_id
    from lode.mine_owner o
    join pg_catalog.pg_roles r on r.rolname = o.role_name
    where pg_has_role(session_user, r.oid, 'usage') and granted @> makeaclitem(r.oid, granter, 'EXECUTE', false)
  );
end
$$;

comment on function lode_api.own_mines() is 'Mines of the login, by lode.mine_owner.';
