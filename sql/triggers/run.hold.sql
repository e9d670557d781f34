-- The accounting lock is taken before rows of lode.run go, so that nobody waits in a circle.
create trigger hold before delete on lode.run
for each statement execute function lode_api.hold_accounts();
