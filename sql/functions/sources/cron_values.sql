-- Purpose: the numbers that one field of a cron expression stands for; null where it stands for none.
-- Rules: lists of *, n, n-m, each with /step; n/step counts from n up to the highest.
-- Used by: lode_api.cron_fault.
create function lode_api.cron_values(field text, low integer, high integer) returns integer[]
language plpgsql immutable strict
set search_path = pg_catalog, pg_temp
as $$
declare
  part text;
  found text[];
  first integer;
  last integer;
  step integer;
  numbers integer[] := '{}';
begin
  foreach part in array string_to_array(field, ',') loop
    found := regexp_match(part, '^(\*|([0-9]{1,2})(-([0-9]{1,2}))?)(/([0-9]{1,2}))?$');
    if found is null then
      return null;
    end if;
    step := coalesce(found[6]::integer, 1);
    first := coalesce(found[2]::integer, low);
    last := case
      when found[1] = '*' then high
      when found[4] is not null then found[4]::integer
      when found[6] is not null then high
      else first
    end;
    if first < low or last > high or first > last or step < 1 then
      return null;
    end if;
    numbers := numbers || array(select n from generate_series(first, last, step) as n);
  end loop;
  return case when cardinality(numbers) > 0 then array(select distinct n from unnest(numbers) as n order by n) end;
end
$$;

comment on function lode_api.cron_values(text, integer, integer) is
  'The numbers that a field of a cron expression stands for; null where it stands for none.';
