-- The accounting lock is taken before rows of lode.mine are locked, so that nobody waits in a circle.
create trigger hold before insert or update or delete on lode.mine
for each statement execute function lode_api.hold_accounts();
