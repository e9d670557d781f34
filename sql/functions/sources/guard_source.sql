-- Purpose: a source that cannot be right, or that would keep a secret, is refused when it is written.
-- Rules: who added it is who is logged in, and so is who last changed what work it makes: its runs count against the
--   quota of that login. Both are no more than told: nobody writes them. A change of its times, or a pause that ends,
--   lets the scheduler compute anew when it is due. Secrets are looked for when a location is written: a row that an
--   older rule let in must not stop the scheduler. Their names are those that service/redaction.py blots out. Whether
--   options and report folder can be used is found out where the files lie.
-- Used by: the trigger on lode.ingest_source, for people in QGIS and psql and for `lode source`.
create function lode_api.guard_source() returns trigger
language plpgsql
set search_path = lode, public, pg_temp
as $$
declare
  fault text;
  secret_parameter constant text :=
    '[?&;#]([^=&;?#]*('
    'pass(word|wd|phrase)|pwd|secret|token|authori[sz]ation|access[-_]?key|private[-_]?key|credential|signature|cookie'
    ')[^=&;?#]*|[^=&;?#]*key|sig|auth|awsaccesskeyid)=';
begin
  if btrim(new.name) = '' or length(new.name) > 200 or new.name ~ '[[:cntrl:]]' then
    raise exception 'a source needs a name of 1 to 200 characters, without control characters'
      using errcode = 'check_violation';
  end if;
  if (tg_op = 'INSERT' or new.location is distinct from old.location) and (
    new.location ~* '^[a-z][a-z0-9+.-]*://[^/]*@' or new.location ~* secret_parameter
  ) then
    raise exception 'source %: its location holds a password or key', new.name
      using errcode = 'check_violation',
        hint = 'Write it into the file that LODE_STAC_HEADERS_FILE names on the workers, or into ~/.netrc there.';
  end if;
  if new.location ~ '[[:cntrl:]]' or length(new.location) > 2000 then
    raise exception 'source %: its location is too long or holds control characters', new.name
      using errcode = 'check_violation';
  end if;
  if new.kind = 'stac_api' and new.location !~* '^https?://[^/]+' then
    raise exception 'source %: a STAC API lies at an address such as https://example.org/stac, not at %',
      new.name, new.location
      using errcode = 'check_violation';
  end if;
  if (new.kind = 'folder' or (new.kind = 'stac_catalogue' and new.location !~* '^https?://[^/]+'))
    and (new.location !~ '^/' or new.location ~ '^/+vsi' or new.location ~ '(^|/)\.\.(/|$)')
  then
    raise exception 'source %: % is no absolute path without ..%', new.name, new.location,
      case new.kind when 'folder' then '' else ', and no URL that begins with http:// or https://' end
      using errcode = 'check_violation';
  end if;
  if new.kind = 'folder' and cardinality(new.collections) > 0 then
    raise exception 'source %: a folder has no collections', new.name using errcode = 'check_violation';
  end if;
  if new.report_folder is not null and (
    btrim(new.report_folder) = '' or new.report_folder ~ '(^|/)\.\.(/|$)' or new.report_folder ~ '[[:cntrl:]]'
    or new.report_folder ~ '://' or length(new.report_folder) > 1000
  ) then
    raise exception 'source %: % is no folder for reports', new.name, quote_literal(new.report_folder)
      using errcode = 'check_violation',
        hint = 'Name one below LODE_REPORT_ROOT, without .. in it; null: no reports.';
  end if;
  if new.report_folder is not null and new.model_id is null then
    raise exception 'source %: there is nothing to report without a network that interprets its scenes', new.name
      using errcode = 'check_violation', hint = 'Set model_id, or leave report_folder empty.';
  end if;
  if new.area is not null and (st_isempty(new.area) or not st_isvalid(new.area)) then
    raise exception 'source %: its area is %', new.name,
      case when st_isempty(new.area) then 'empty' else st_isvalidreason(new.area) end
      using errcode = 'check_violation';
  end if;
  fault := lode_api.cron_fault(new.cron);
  if fault is not null then
    raise exception 'source %: cron % is no time: %', new.name, quote_literal(new.cron), fault
      using errcode = 'check_violation', hint = 'For instance 0 3 * * * for every night at 3:00 UTC.';
  end if;
  if tg_op = 'INSERT' then
    new.created_by := session_user;
    new.changed_by := session_user;
    new.next_scan_at := null;
  else
    new.created_by := old.created_by;
    new.created_at := old.created_at;
    new.changed_by := case
      when (new.kind, new.location, new.collections, new.options, new.mine_codes, new.cloud_limit, new.from_day,
          new.to_day, new.model_id, new.becomes_current, new.cron)
        is distinct from (old.kind, old.location, old.collections, old.options, old.mine_codes, old.cloud_limit,
          old.from_day, old.to_day, old.model_id, old.becomes_current, old.cron)
        or st_asbinary(new.area) is distinct from st_asbinary(old.area)
      then session_user
      else old.changed_by
    end;
    if (new.cron, new.enabled) is distinct from (old.cron, old.enabled) then
      new.next_scan_at := null;
    end if;
  end if;
  return new;
end
$$;

comment on function lode_api.guard_source() is
  'Trigger: refuses sources that cannot be right or would keep a secret; a change of times is computed anew.';
