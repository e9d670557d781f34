-- What cannot be right, or holds a secret, is refused with the reason.
create trigger guard before insert or update on lode.ingest_source
for each row execute function lode_api.guard_source();
