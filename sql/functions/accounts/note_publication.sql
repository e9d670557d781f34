-- Purpose: note which run the transaction is publishing, before its polygons come.
-- Rules: that is one whose row it has locked (hold_for_publication) or written, so that nobody else can publish it.
--   The trigger that looks at every polygon then needs no query: a publication stores some 100,000 of them. A run
--   that is not noted is looked up: what is noted decides how long it takes, never what is allowed. It is noted
--   where the client cannot write (lode_api.publication).
-- Used by: the trigger before statements that insert into lode.landcover.
create function lode_api.note_publication() returns trigger
language plpgsql security definer
set search_path = lode, public, pg_temp
as $$
begin
  perform setval('lode_api.publication', coalesce((
    select max(r.run_id)
    from lode.run r
    where r.status not in ('published', 'withdrawn') and pg_current_xact_id()::xid in (r.xmin, r.xmax)
  ), 0));
  return null;
end
$$;

comment on function lode_api.note_publication() is
  'Trigger: note which run the transaction is publishing (lode_api.publication).';
