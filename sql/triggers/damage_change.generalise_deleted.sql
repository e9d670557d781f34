-- Purpose: where the largest change polygon of a pixel goes, the next one stands for it at small scales.
create trigger generalise_deleted
after delete on lode.damage_change
referencing old table as gone
for each statement execute function lode_api.generalise_damage('damage_change_id', 'to_year', 'change');
