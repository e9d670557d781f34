"""How a worker ends its jobs: only while they are its own, and as often as the statement has to be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from procrastinate import exceptions
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg import Connection

# What has ended refers to no worker: one whose row goes is taken out of all jobs that refer to it, and those
# of a month may be hundreds of thousands.
_FINISH = """
update lode_queue.procrastinate_jobs
set status = %(status)s::lode_queue.procrastinate_job_status, abort_requested = false,
  attempts = attempts + 1, worker_id = null
where id = %(job_id)s and worker_id = %(worker_id)s and status = 'doing'
"""

# What is cancelled is not begun again, nor what another job with the same key waits to do. The moment is the
# server's: its clock says when it is due.
_RETRY = """
update lode_queue.procrastinate_jobs j
set status = case
    when j.abort_requested or %(is_replaced)s or exists (
      select from lode_queue.procrastinate_jobs o
      where o.queueing_lock = j.queueing_lock and o.status = 'todo'
    ) then 'failed'
    else 'todo'
  end::lode_queue.procrastinate_job_status,
  abort_requested = false, attempts = j.attempts + 1, worker_id = null,
  scheduled_at = clock_timestamp() + make_interval(secs => %(pause_s)s)
where j.id = %(job_id)s and j.worker_id = %(worker_id)s and j.status = 'doing'
"""

_PENDING = """
select count(*),
  extract(epoch from min(coalesce(scheduled_at, now())) filter (where status = 'todo') - now())::float
from lode_queue.procrastinate_jobs
where status in ('todo', 'doing') and queue_name = any(%s)
"""


class OwnJobs(JobManager):
    """Ends and puts back jobs of the worker that fetched them; leaves others.

    procrastinate's own functions look at the job alone: a worker that was taken for dead could mark the job
    of its successor, or put its old one back beside it. What has no effect here is no error: either the
    statement was said before and the answer was lost, or the job is somebody else's.
    """

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: ARG002 - kept
        """End a job; it stays, for `kept_days` of ``lode_api.reap_jobs``."""
        await self.connector.execute_query_async(
            query=_FINISH, job_id=job.id, worker_id=job.worker_id, status=status.value
        )

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime | None = None,
        priority: int | None = None,  # noqa: ARG002 - stays
        queue: str | None = None,  # noqa: ARG002 - stays
        lock: str | None = None,  # noqa: ARG002 - there is none
    ) -> None:
        """Let a job be done again, at this moment or later.

        Where another one with the same key waits already, that one takes its place and this one has failed.
        """
        pause_s = 0.0 if retry_at is None else (retry_at - datetime.now(retry_at.tzinfo)).total_seconds()
        job_id, worker_id, pause_s = job.id, job.worker_id, max(pause_s, 0.0)
        try:
            await self.connector.execute_query_async(
                query=_RETRY, job_id=job_id, worker_id=worker_id, pause_s=pause_s, is_replaced=False
            )
        except exceptions.UniqueViolation:  # the other one came at this very moment
            await self.connector.execute_query_async(
                query=_RETRY, job_id=job_id, worker_id=worker_id, pause_s=pause_s, is_replaced=True
            )


@dataclass(frozen=True)
class Pending:
    """Jobs that wait or run: how many, and in how many seconds the first that waits is due; None: none."""

    jobs: int
    due_in_s: float | None


def pending_jobs(conn: Connection[Any], queues: Sequence[str]) -> Pending:
    """What is left to do in some queues."""
    row = conn.execute(_PENDING, (list(queues),)).fetchone()
    return Pending(0, None) if row is None else Pending(int(row[0]), row[1])
