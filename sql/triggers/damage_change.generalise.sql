-- Purpose: change of damaged ground is drawn for small scales when it is derived or changed.
create trigger generalise
after insert or update of geom on lode.damage_change
for each row execute function lode_api.generalise_damage('damage_change_id');
