-- A region goes before a publication begins or after it ended: rows that one writes for a region that goes
-- meanwhile would make it fail. One that is edited is not locked before the accounting lock is held, so that nobody
-- waits in a circle: a new code and a new outline may come in one transaction.
create trigger hold before update or delete on lode.region
for each statement execute function lode_api.hold_accounts();
