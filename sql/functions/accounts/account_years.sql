-- Purpose: the years that any current observation or counting label knows something about.
-- Used by: everything that derives all years.
create function lode_api.account_years() returns integer[]
language sql stable
begin atomic
  select coalesce(array_agg(y.year order by y.year), '{}')
  from (
    select o.year from lode.observation o
    union
    select g.year from lode.interpreted_ground g
  ) y;
end;

comment on function lode_api.account_years() is 'Years with an observation or interpreted ground, ascending.';
