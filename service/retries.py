"""Which jobs are tried again, and when."""

from __future__ import annotations

import asyncio
import random

from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from service import protocol

MOST_TRIES = 30
"""Of a job; attempts of runs, blocks and items are counted, and end earlier, in their own rows."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 10.0, 600.0
_LONGEST_UNWELL_S = 600.0
"""Longest pause of a job whose worker was unwell. When it is due it is the first to be taken: a few that are
often due would keep a worker from all others."""


class JobFailedError(Exception):
    """A job did not come to its end.

    Attributes:
        end: why, in a word of ``service.protocol``.

    """

    def __init__(self, end: str, reason: str) -> None:
        super().__init__(reason or end)
        self.end = end


class RetryPolicy(BaseRetryStrategy):
    """What is given back goes on at once; what was in the way is tried again later; what cannot be is not.

    A job whose worker was unwell waits as well, and is never given up: its worker should do others meanwhile.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When the job is tried again; None: never."""
        if isinstance(exception, asyncio.CancelledError):  # the worker ends
            return RetryDecision(retry_in={"seconds": 0})
        end = exception.end if isinstance(exception, JobFailedError) else protocol.BROKEN
        if end == protocol.RELEASED:
            return RetryDecision(retry_in={"seconds": 0})
        pause_s = _FIRST_PAUSE_S * 2 ** min(job.attempts, 10)
        if end == protocol.UNWELL:
            return _after(min(pause_s, _LONGEST_UNWELL_S))
        if end in (protocol.TRANSIENT, protocol.BROKEN) and job.attempts + 1 < MOST_TRIES:
            return _after(min(pause_s, _LONGEST_PAUSE_S))
        return None


def _after(pause_s: float) -> RetryDecision:
    spread = random.uniform(0.5, 1.0)  # noqa: S311 - so that rivals do not meet again
    return RetryDecision(retry_in={"seconds": int(pause_s * spread)})
