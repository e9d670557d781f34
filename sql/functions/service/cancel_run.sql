-- Purpose: take a run back that waits or runs: select lode_api.cancel_run(RUN, 'why').
-- Rules: nothing of it is published from now on, whatever its workers do; they stop at their next window. What is
--   published is withdrawn, not cancelled. Who may: whoever asked for it, and members of lode_owner.
-- Used by: analysts in QGIS and psql, `lode run cancel`.
create function lode_api.cancel_run(run_id integer, reason text default null) returns text
language plpgsql security definer
set search_path = lode, lode_queue, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  found_status text;
  asked_by text;
begin
  select r.status, r.requested_by into found_status, asked_by
  from lode.run r
  where r.run_id = cancel_run.run_id
  for no key update;
  if found_status is null then
    raise exception 'there is no run %', run_id
      using errcode = 'no_data_found', hint = 'lode_api.run_history lists them.';
  end if;
  if asked_by <> session_user and not exists (
    select from pg_roles o where o.rolname = 'lode_owner' and pg_has_role(session_user, o.oid, 'member')
  ) and not (select o.rolsuper from pg_roles o where o.rolname = session_user) then
    raise exception 'run % was asked for by %', run_id, asked_by
      using errcode = 'insufficient_privilege', hint = 'Whoever asked for it may cancel it, or an administrator.';
  end if;
  if found_status not in ('requested', 'running') then
    raise exception 'run % is %', run_id, found_status
      using errcode = 'check_violation',
        hint = case found_status
          when 'published' then format('`lode run withdraw %s --reason ...` takes it out of maps and areas.', run_id)
          else 'There is nothing to cancel.'
        end;
  end if;
  update lode.run r
  set status = 'cancelled', finished_at = clock_timestamp(),
    error = concat_ws(': ', format('cancelled by %s', session_user), nullif(btrim(reason), ''))
  where r.run_id = cancel_run.run_id;
  delete from lode.run_stage s where s.run_id = cancel_run.run_id;
  update lode.run_block b set status = 'waiting', token = null, stage = null where b.run_id = cancel_run.run_id;
  perform procrastinate_cancel_job_v1(j.id, true, false)
  from procrastinate_jobs j
  where j.status in ('todo', 'doing')
    -- an array, which the index on queueing_lock is looked up for
    and j.queueing_lock = any (array(
      select format('run %s', run_id)
      union all
      select format('block %s of run %s', b.block, b.run_id)
      from lode.run_block b
      where b.run_id = cancel_run.run_id
    ));
  return 'cancelled';
end
$$;

comment on function lode_api.cancel_run(integer, text) is
  'Take a run back that waits or runs; nothing of it is published from now on.';
