-- Purpose: damaged ground is drawn for small scales when it is derived or changed.
create trigger generalise
after insert or update of geom on lode.mine_damage
for each row execute function lode_api.generalise_damage('mine_damage_id');
