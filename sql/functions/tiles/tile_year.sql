-- Purpose: the year in the query of a tile's address, as martin hands it over: {"year": 2021} or {"year": "2021"}.
-- Used by: lode_api.landcover_tile_query, lode_api.damage_tile_query. Null when no year is asked for.
create function lode_api.tile_year(query json) returns integer
language plpgsql immutable parallel safe
as $$
declare
  said constant text := nullif(btrim(query ->> 'year'), '');
begin
  if said !~ '^[0-9]{4}$' then
    raise exception 'year is %, but a year has four digits', said
      using errcode = 'invalid_parameter_value', hint = 'ask for the tile with ?year=2021, or without a year';
  end if;
  return said::integer;
end
$$;

comment on function lode_api.tile_year(json) is 'The year in the query of a tile''s address; null: none.';
