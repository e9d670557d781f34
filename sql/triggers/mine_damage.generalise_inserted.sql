-- Purpose: damaged ground is drawn for small scales when it is derived.
create trigger generalise_inserted
after insert on lode.mine_damage
referencing new table as added
for each statement execute function lode_api.generalise_damage('mine_damage_id', 'year', 'damage_kind');
