-- Purpose: change of damaged ground is drawn for small scales when it is derived.
create trigger generalise_inserted
after insert on lode.damage_change
referencing new table as added
for each statement execute function lode_api.generalise_damage('damage_change_id', 'to_year', 'change');
