-- Purpose: derive from nothing what stands on many mines at once, after the mines.
-- Used by: `lode db refresh`.
create function lode_api.derive_shared() returns void
language plpgsql
as $$
begin
  null;
end
$$;

comment on function lode_api.derive_shared() is 'Derive from nothing what stands on many mines at once.';
