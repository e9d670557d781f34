-- Purpose: derive from nothing what mines stand on: the years of runs, interpreted ground, who owns which ground.
-- Used by: lode_api.derive_all and `lode db refresh`; derive_outlines comes after it, then the mines.
create function lode_api.derive_base() returns void
language plpgsql
as $$
declare
  of_year integer;
  world geometry := st_makeenvelope(-180, -90, 180, 90, 4326);
begin
  perform lode_api.lock_accounts();
  perform lode_api.date_runs((select array_agg(r.run_id) from lode.run r));
  delete from lode.landcover_part e
  where not exists (select from lode.run r where r.run_id = e.run_id and r.is_current);
  delete from lode.interpreted_ground;
  perform lode_api.derive_interpreted(array[world], (
    select array_agg(distinct extract(year from l.valid_on)::integer) from lode.label l
  ));
  for of_year in select distinct o.year from lode.observation o order by o.year loop
    perform lode_api.derive_ownership(world, of_year);
  end loop;
end
$$;

comment on function lode_api.derive_base() is
  'Derive from nothing what mines stand on: interpreted ground, ownership of ground.';
