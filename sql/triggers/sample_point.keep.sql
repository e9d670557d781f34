-- Sample points stay where chance put them.
create trigger keep before insert or update or delete on lode.sample_point
for each row execute function lode_api.sample_kept();
