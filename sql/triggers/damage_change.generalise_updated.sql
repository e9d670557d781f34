-- Purpose: change of damaged ground is drawn for small scales again when its shape changes.
create trigger generalise_updated
after update on lode.damage_change
referencing old table as gone new table as added
for each statement execute function lode_api.generalise_damage('damage_change_id', 'to_year', 'change');
