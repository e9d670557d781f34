-- The accounting lock is taken before rows of lode.landcover are locked, so that nobody waits in a circle.
create trigger hold before update on lode.landcover
for each statement execute function lode_api.hold_accounts();
