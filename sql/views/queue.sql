-- Purpose: what waits and what runs, with progress.
-- Units: seconds; done and total in the unit of the stage (windows while it classifies).
-- Rules: one row a job. A large scene has one for each of its blocks, then one that publishes. What a worker does that
--   has not been heard of for a minute is given to another one.
-- Used by: QGIS, psql, `lode status --watch`.
create view lode_api.queue as
select
  j.id::bigint as ogc_fid,
  j.queue_name::text as queue,
  j.task_name::text as task,
  case j.status when 'todo' then 'waiting' else 'running' end as status,
  j.abort_requested as is_cancelled,
  j.priority,
  j.scheduled_at as not_before,
  r.run_id,
  s.product,
  m.name as model,
  r.requested_by,
  r.requested_at,
  r.attempt,
  (j.args ->> 'block')::integer as block,
  (select count(*) from lode.run_block x where x.run_id = r.run_id)::integer as blocks,
  (select count(*) from lode.run_block x where x.run_id = r.run_id and x.status = 'staged')::integer as blocks_staged,
  case when j.status = 'doing' then b.stage end as stage,
  case when j.status = 'doing' then b.done end as done,
  case when j.status = 'doing' then b.total end as total,
  case when j.status = 'doing' then b.started_at end as started_at,
  case when w.worker_id is not null then format('%s, process %s, %s', w.host, w.process_id, w.device) end as worker,
  extract(epoch from now() - p.last_heartbeat)::double precision as heartbeat_s,
  coalesce(r.error, i.error) as last_error,
  o.name as source,
  i.item_key as item
from lode_queue.procrastinate_jobs j
left join lode.run r on r.run_id = (j.args ->> 'run_id')::integer
left join lode.scene s on s.scene_id = r.scene_id
left join lode.model m on m.model_id = r.model_id
left join lode.run_block b on b.run_id = r.run_id and b.block = coalesce((j.args ->> 'block')::integer, 0)
left join lode.ingest_item i on i.ingest_item_id = (j.args ->> 'ingest_item_id')::bigint
left join lode.ingest_source o
  on o.ingest_source_id = coalesce(i.ingest_source_id, (j.args ->> 'ingest_source_id')::integer)
left join lode_queue.procrastinate_workers p on p.id = j.worker_id
left join lode.worker w on w.worker_id = j.worker_id
where j.status in ('todo', 'doing');

comment on view lode_api.queue is 'Jobs that wait or run, with progress.';
comment on column lode_api.queue.ogc_fid is 'Key of the job';
comment on column lode_api.queue.queue is 'Queue: inference, ingest or report';
comment on column lode_api.queue.task is 'interpret_run, interpret_block, scan_source, ingest_item, report_source';
comment on column lode_api.queue.status is 'waiting or running';
comment on column lode_api.queue.is_cancelled is 'It was cancelled, and its worker stops at the next window';
comment on column lode_api.queue.priority is 'Higher goes first, then who came first';
comment on column lode_api.queue.not_before is 'Moment before which it does not start; null: at once';
comment on column lode_api.queue.run_id is 'The run';
comment on column lode_api.queue.product is 'Scene';
comment on column lode_api.queue.model is 'Network';
comment on column lode_api.queue.requested_by is 'Who asked';
comment on column lode_api.queue.requested_at is 'When it was asked for';
comment on column lode_api.queue.attempt is 'Times its publication was started';
comment on column lode_api.queue.block is 'Strip of the scene, from 0 at the top; null: the whole run';
comment on column lode_api.queue.blocks is 'Strips the scene is split into';
comment on column lode_api.queue.blocks_staged is 'Strips that are computed and wait for publication';
comment on column lode_api.queue.stage is 'What its worker does';
comment on column lode_api.queue.done is 'Units of the stage done';
comment on column lode_api.queue.total is 'Units in all; 0: not known';
comment on column lode_api.queue.started_at is 'Start of this attempt';
comment on column lode_api.queue.worker is 'Who does it';
comment on column lode_api.queue.heartbeat_s is 'Seconds since the worker was last heard of';
comment on column lode_api.queue.last_error is 'Why the attempt before failed';
comment on column lode_api.queue.source is 'Source that is looked through, or that the item comes from';
comment on column lode_api.queue.item is 'Item of the source that is fetched and ingested';
