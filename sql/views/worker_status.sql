-- Purpose: the workers, what they compute on, and whether they live.
-- Units: seconds.
-- Used by: operators, `lode status --watch`, `lode db check`.
create view lode_api.worker_status as
select
  w.worker_id as ogc_fid,
  w.host,
  w.process_id,
  w.device,
  array_to_string(w.queues, ' ') as queues,
  w.login,
  w.versions ->> 'lode' as version,
  w.started_at,
  extract(epoch from now() - p.last_heartbeat)::double precision as heartbeat_s,
  coalesce(p.last_heartbeat > now() - interval '60 seconds', false) as is_alive,
  (select count(*) from lode_queue.procrastinate_jobs j where j.worker_id = w.worker_id and j.status = 'doing')::integer
    as jobs
from lode.worker w
left join lode_queue.procrastinate_workers p on p.id = w.worker_id;

comment on view lode_api.worker_status is 'Workers that registered, and whether they live.';
comment on column lode_api.worker_status.ogc_fid is 'Key: worker_id';
comment on column lode_api.worker_status.host is 'Machine';
comment on column lode_api.worker_status.process_id is 'Number of its process there';
comment on column lode_api.worker_status.device is 'What it computes on';
comment on column lode_api.worker_status.queues is 'Queues it takes work from';
comment on column lode_api.worker_status.login is 'Its database role';
comment on column lode_api.worker_status.version is 'Version of Lode';
comment on column lode_api.worker_status.started_at is 'When it registered';
comment on column lode_api.worker_status.heartbeat_s is 'Seconds since it was last heard of; null: swept from the queue';
comment on column lode_api.worker_status.is_alive is 'It was heard of within a minute';
comment on column lode_api.worker_status.jobs is 'Jobs it works on';
