-- What the transaction is publishing is noted once, so that guard_inserted costs nothing for its polygons.
create trigger note_publication before insert on lode.landcover
for each statement execute function lode_api.note_publication();
