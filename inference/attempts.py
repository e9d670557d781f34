"""What becomes of a row when an attempt at it does not come to its end: given back, put back or failed.

===============================================  ==========================================================
what ends the attempt                            what becomes of the run or the block
===============================================  ==========================================================
its work was given to another, or is done        nothing: it belongs to somebody else
cancelled                                        nothing: whoever cancelled it wrote that down
released (the worker shuts down)                 waits as if it had not been started; costs no attempt
this machine is in the way: a full disk, a GPU   the same
bad input: a scene or network that cannot work   failed with the reason; another attempt would fail as well
anything else, with attempts left                waits for the next attempt, with the reason
anything else at the last attempt                failed with the reason
===============================================  ==========================================================

A run that a person computes by hand has failed where a worker would leave it for another attempt, unless it
is in the queue: there it waits as if that person had not begun, whatever ended it but bad input.

The exception passes in every case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Protocol

import psycopg
from psycopg import Connection

from db import blocks, runs
from db.blocks import BlockClaim
from db.connection import connect, describe
from db.errors import InterruptionError, RetryError, SupersededError, UsageError
from db.machine_faults import machine_fault
from inference.beat import patiently
from inference.device import device_faults

RECORDING_ATTEMPTS = 4
"""The outcome is written down within seconds or not at all: the next attempt does not depend on it."""


class Fail(Protocol):
    """Records why an attempt failed, and whether there will be another."""

    def __call__(self, conn: Connection[Any], reason: str, *, is_final: bool) -> None:
        """Records it; the caller commits."""


def run_attempt(url: str, claim: runs.Claim, most_attempts: int | None) -> AbstractContextManager[None]:
    """One attempt at a run; ``most_attempts``: None where nobody tries again."""
    release = partial(_release_run, claim)
    if most_attempts is None:
        return attempt(url, release, partial(_fail_by_hand, claim), is_last=False, is_by_hand=True)
    return attempt(url, release, partial(_fail_run, claim), is_last=claim.attempt >= most_attempts)


def block_attempt(url: str, claim: BlockClaim, most_attempts: int) -> AbstractContextManager[None]:
    """One attempt at a block."""
    is_last = claim.attempt >= most_attempts
    return attempt(url, partial(_release_block, claim), partial(_fail_block, claim), is_last=is_last)


@contextmanager
def attempt(
    url: str,
    release: Callable[[Connection[Any]], None],
    fail: Fail,
    *,
    is_last: bool,
    is_by_hand: bool = False,
) -> Iterator[None]:
    """Do as the table above says when the block of the ``with`` does not come to its end.

    Args:
        url: of the database; what is recorded is recorded on a connection of its own.
        release: gives the attempt back.
        fail: records why it failed.
        is_last: there will be no other attempt.
        is_by_hand: no worker takes up what is given back.

    """
    try:
        with device_faults():
            yield
    except SupersededError:
        raise
    except InterruptionError as error:
        if not error.is_cancelled:
            _record(url, release, error)
        raise
    except BaseException as error:
        if machine_fault(error) is not None and not is_by_hand:
            _record(url, release, error)
            raise
        is_bad_input = isinstance(error, UsageError) and not isinstance(error, RetryError)
        _record(url, partial(fail, reason=reason_of(error), is_final=is_last or is_bad_input), error)
        raise


def reason_of(error: BaseException) -> str:
    """Why, in one line without passwords; an error that nobody foresaw is named."""
    if isinstance(error, UsageError | psycopg.Error):
        return describe(error)
    said = describe(error)
    name = type(error).__name__
    return name if said == name else f"{name}: {said}"


def _record(url: str, write: Callable[[Connection[Any]], None], error: BaseException) -> None:
    def once() -> None:
        with connect(url, application_name="lode infer") as conn:
            write(conn)

    try:
        patiently(once, attempts=RECORDING_ATTEMPTS)
    except (psycopg.Error, UsageError) as lost:
        error.add_note(f"this could not be recorded: {describe(lost)}")


def _release_run(claim: runs.Claim, conn: Connection[Any]) -> None:
    runs.release_run(conn, claim)


def _fail_run(claim: runs.Claim, conn: Connection[Any], reason: str, *, is_final: bool) -> None:
    runs.fail_run(conn, claim, reason, is_final=is_final)


def _fail_by_hand(claim: runs.Claim, conn: Connection[Any], reason: str, *, is_final: bool) -> None:
    if is_final or not runs.release_run(conn, claim, only_queued=True):
        runs.fail_run(conn, claim, reason)


def _release_block(claim: BlockClaim, conn: Connection[Any]) -> None:
    blocks.release_block(conn, claim)


def _fail_block(claim: BlockClaim, conn: Connection[Any], reason: str, *, is_final: bool) -> None:
    blocks.fail_block(conn, claim, reason, is_final=is_final)
