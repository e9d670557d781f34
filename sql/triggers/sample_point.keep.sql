-- Sample points stay where chance put them.
create trigger keep before update on lode.sample_point
for each row execute function lode_api.sample_point_kept();
