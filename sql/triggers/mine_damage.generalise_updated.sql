-- Purpose: damaged ground is drawn for small scales again when its shape changes. What is deleted takes its
--   outlines with it: nothing else stands under them.
create trigger generalise_updated
after update on lode.mine_damage
referencing old table as gone new table as added
for each statement execute function lode_api.generalise_damage('mine_damage_id', 'year', 'damage_kind');
