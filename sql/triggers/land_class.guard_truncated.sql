-- Areas cannot follow when lode.land_class is emptied at once.
create trigger guard_truncated before truncate on lode.land_class
for each statement execute function lode_api.guard_truncate('land_class');
