-- Purpose: why a text is no cron expression that ever comes true; null where it is one.
-- Rules: five fields, in numbers: minute 0-59, hour 0-23, day of month 1-31, month 1-12, day of week 0-7 (0 and 7:
--   Sunday). A day that no named month has, such as 31 February, never comes.
-- Used by: the guard of lode.ingest_source.
create function lode_api.cron_fault(cron text) returns text
language plpgsql immutable strict
set search_path = lode_api, pg_catalog, pg_temp
as $$
declare
  fields text[] := regexp_split_to_array(btrim(cron), '\s+');
  names constant text[] := '{minute,hour,day of month,month,day of week}';
  lows constant integer[] := '{0,0,1,1,0}';
  highs constant integer[] := '{59,23,31,12,7}';
  position integer;
begin
  if cardinality(fields) <> 5 then
    return format('it has %s fields, not 5 (minute, hour, day of month, month, day of week)', cardinality(fields));
  end if;
  for position in 1..5 loop
    if lode_api.cron_values(fields[position], lows[position], highs[position]) is null then
      return format(
        'its %s is %L, not numbers from %s to %s (*, 5, 1-5, 1,15 or */10)',
        names[position], fields[position], lows[position], highs[position]
      );
    end if;
  end loop;
  if fields[5] = '*' and not exists (
    select
    from unnest(lode_api.cron_values(fields[4], 1, 12)) as month
    where (lode_api.cron_values(fields[3], 1, 31))[1] <= (array[31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[month]
  ) then
    return format('month %s has no day %s', fields[4], fields[3]);
  end if;
  return null;
end
$$;

comment on function lode_api.cron_fault(text) is
  'Why a text is no cron expression that ever comes true; null where it is one.';
