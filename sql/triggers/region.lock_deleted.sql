-- Regions go before a publication begins or after it ended.
create trigger lock_deleted before delete on lode.region
for each statement execute function lode_api.region_going();
