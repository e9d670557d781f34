"""procrastinate's way to the database, with patience: a restart of the server does not end a worker."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any, LiteralString

import psycopg
from procrastinate import PsycopgConnector, exceptions
from procrastinate.connector import Notify
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from db.connection import CONNECT_TIMEOUT_S, KEEPALIVES, checked_url, describe, is_transient

logger = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""How long one goes on trying to reach the database."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0


class PatientConnector(PsycopgConnector):
    """Tries again what may be said twice (heartbeats, how a job ended), and listens again when that was lost.

    Fetching is not tried again: a job whose fetching was committed and not heard of would be nobody's. The
    worker registers anew then, and the job is reaped.

    Args:
        url: libpq URL of the database.
        application_name: what ``pg_stat_activity`` shows.
        patience_s: longest time a statement is tried again for, seconds; ``hurry`` ends it.

    """

    def __init__(self, url: str, *, application_name: str, patience_s: float = PATIENCE_S) -> None:
        checked = checked_url(url)
        given = conninfo_to_dict(checked)
        wanted = {
            **KEEPALIVES,
            "application_name": application_name,
            "connect_timeout": str(CONNECT_TIMEOUT_S),
        }
        missing = {key: value for key, value in wanted.items() if key not in given}
        options = f"{given.get('options') or ''} -c search_path=lode_queue,pg_catalog".strip()
        super().__init__(
            conninfo=make_conninfo(checked, **missing, options=options),
            min_size=1,
            max_size=3,
            timeout=CONNECT_TIMEOUT_S,
            name=application_name,
        )
        self._patience_s = patience_s
        self._hurries = False

    def hurry(self) -> None:
        """Have no patience any more: the process is to end."""
        self._hurries = True

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """Execute a statement, again and again while the database cannot be reached."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + self._patience_s, _FIRST_PAUSE_S
        while True:
            try:
                await super().execute_query_async(query, **arguments)
            except exceptions.ConnectorException as error:
                if not _is_lost(error) or self._hurries or loop.time() + pause_s > deadline:
                    raise
                logger.warning("the database cannot be reached: %s", describe(error.__cause__ or error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                return

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Listen; polling does its work while the database cannot be reached.

        Every login of the database may notify whom it likes. What is told is no more than a hint to look.
        """

        async def look(*, channel: str, payload: str) -> None:
            await on_notification(channel=channel, payload=await self._believed(payload))

        named = list(channels)
        while True:
            try:
                await super().listen_notify(look, named)
            except exceptions.ConnectorException as error:
                if not _is_lost(error):
                    raise
                logger.warning("not listening to the database: %s", describe(error.__cause__ or error))
                await asyncio.sleep(_LONGEST_PAUSE_S / 3)

    async def _believed(self, payload: str) -> str:
        """The same where the database says so too; else that a job may be there."""
        job = _job_to_abort(payload)
        if job is not None:
            try:
                found = await self.execute_query_all_async(
                    "select id from procrastinate_jobs where id = %(job)s and abort_requested", job=job
                )
            except exceptions.ConnectorException as error:
                reason = describe(error.__cause__ or error)
                logger.warning("whether a job was cancelled is seen later: %s", reason)
            else:
                if found:
                    return json.dumps({"type": "abort_job_requested", "job_id": job})
        return json.dumps({"type": "job_inserted", "job_id": 0})


def _job_to_abort(payload: str) -> int | None:
    """The job that somebody is said to have cancelled, if it is one that can be."""
    try:
        told = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.get("type") != "abort_job_requested":
        return None
    job = told.get("job_id")
    return job if type(job) is int and 0 < job < 2**63 else None


def _is_lost(error: exceptions.ConnectorException) -> bool:
    cause = error.__cause__
    return isinstance(cause, psycopg.Error) and is_transient(cause)
