-- The accounting lock is taken before rows of lode.land_class are locked, so that nobody waits in a circle, and
-- before runs are looked for, so that one that is being published is seen. Colours may change beside a publication.
create trigger hold before insert or delete
or update of land_class_code, key, damage_kind, is_mapped, counts_outside_mines, min_patch_m2 on lode.land_class
for each statement execute function lode_api.hold_accounts();
