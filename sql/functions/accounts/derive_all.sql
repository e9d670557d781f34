-- Purpose: derive everything from nothing, in one transaction; what the triggers keep up must equal it.
-- Used by: upgrades that bring other rules, a changed kind of a class, tests; `lode db refresh` does the same
--   in batches with progress.
create function lode_api.derive_all() returns void
language plpgsql
as $$
begin
  perform lode_api.derive_base();
  perform lode_api.derive_outlines((select array_agg(r.run_id) from lode.run r where r.is_current));
  perform lode_api.derive_anew((select array_agg(m.mine_id order by m.mine_id) from lode.mine m));
  perform lode_api.derive_shared();
end
$$;

comment on function lode_api.derive_all() is 'Derive all accounts from nothing, in one transaction.';
