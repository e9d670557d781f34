-- Purpose: refuse what goes beyond what a role may ask for.
-- Units: runs, km2 of valid pixels.
-- Rules: rows of lode.quota hold for the login of that name and for members of the role; of several the most generous
--   counts, without any the row with the empty name. Two requests of one login are looked at one after the other.
--   Where a worker asks for what somebody ordered, that login counts, even if it is there no more. What the request
--   before committed must be seen after the wait, which READ COMMITTED alone grants: others are refused.
-- Used by: lode_api.request_inference, request_mine; ask_run for sources.
create function lode_api.check_quota(area_km2 double precision, counted text default session_user) returns void
language plpgsql security definer
set search_path = lode, pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  login text := counted; -- of the columns' collation: a name's own would keep their indexes from being used
  most_runs integer;
  most_km2 double precision;
  pending integer;
  asked_km2 double precision;
begin
  with held as (
    select q.pending_runs, q.area_km2_per_day
    from lode.quota q
    where q.role_name <> ''
      and (q.role_name = login or exists (
        select from pg_roles r, pg_roles me
        where r.rolname = q.role_name and me.rolname = login and pg_has_role(me.oid, r.oid, 'member')
      ))
  ), applying as (
    select * from held
    union all
    select q.pending_runs, q.area_km2_per_day from lode.quota q
    where q.role_name = '' and not exists (select from held)
  )
  select
    case when bool_or(a.pending_runs is null) then null else max(a.pending_runs) end,
    case when bool_or(a.area_km2_per_day is null) then null else max(a.area_km2_per_day) end
  into most_runs, most_km2
  from applying a;
  if most_runs is null and most_km2 is null then
    return;
  end if;
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a quota cannot be checked in a transaction that is %', current_setting('transaction_isolation')
      using hint = 'begin it with: begin isolation level read committed';
  end if;
  perform pg_advisory_xact_lock(hashtext('lode quota'), hashtext(login));
  if most_runs is not null then
    select count(*) into pending
    from (
      select from lode.run r
      where r.requested_by = login and r.status in ('requested', 'running')
      limit most_runs
    ) as mine;
    if pending >= most_runs then
      raise exception '% may have % runs waiting or running, and has as many', login, most_runs
        using errcode = 'configuration_limit_exceeded',
          hint = 'Wait until some are done, cancel some (lode_api.cancel_run), or let an administrator change lode.quota.';
    end if;
  end if;
  if most_km2 is not null then
    select coalesce(sum(
      s.width_px::double precision * s.height_px * s.resolution_m * s.resolution_y_m * s.valid_fraction / 1e6
    ), 0) into asked_km2
    from lode.run r
    join lode.scene s on s.scene_id = r.scene_id
    where r.requested_by = login and r.requested_at > now() - interval '24 hours' and r.queued_at is not null;
    if asked_km2 + area_km2 > most_km2 then
      raise exception '% may ask for % km2 in 24 hours: % km2 were asked for, and this would be % km2 more',
          login, most_km2, round(asked_km2::numeric, 1), round(area_km2::numeric, 1)
        using errcode = 'configuration_limit_exceeded',
          hint = 'Ask for less, wait until tomorrow, or let an administrator change lode.quota.';
    end if;
  end if;
end
$$;

comment on function lode_api.check_quota(double precision, text) is
  'Refuse a request that goes beyond the quota of a login; area of valid pixels, km2.';
