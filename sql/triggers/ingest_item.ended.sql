-- The last item of a source to end asks for its report.
create constraint trigger ended after update of status on lode.ingest_item
deferrable initially deferred
for each row when (
  old.status is distinct from new.status
  and new.status in ('ingested', 'published', 'skipped', 'failed')
)
execute function lode_api.end_item();
