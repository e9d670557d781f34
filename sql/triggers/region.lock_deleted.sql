-- A region goes before a publication begins or after it ended: rows that one writes for a region that goes
-- meanwhile would make it fail.
create trigger lock_deleted before delete on lode.region
for each statement execute function lode_api.hold_accounts();
