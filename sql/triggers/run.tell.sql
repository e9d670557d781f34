-- Whoever listens is told that a run ended.
create trigger tell after update of status on lode.run
for each row when (old.status is distinct from new.status and new.status in ('published', 'failed', 'cancelled'))
execute function lode_api.tell_run();
