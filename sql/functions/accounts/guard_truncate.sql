-- Purpose: refuse to empty a table that accounts stand on in a way that no account can follow.
-- Rules: where nothing was observed nor interpreted there is no account, and nothing to follow.
-- Used by: the triggers before TRUNCATE; their argument is the table to delete from instead.
create function lode_api.guard_truncate() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  if exists (select from lode.observation) or exists (select from lode.interpreted_ground) then
    raise exception 'lode.% is not truncated: areas that stand on it would stay as they are', tg_table_name
      using errcode = 'check_violation',
        hint = format('Delete rows instead, and areas follow: delete from lode.%I where ...', tg_argv[0]);
  end if;
  return null;
end
$$;

comment on function lode_api.guard_truncate() is
  'Trigger: tables that accounts stand on are not truncated while there are accounts.';
