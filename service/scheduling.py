"""When sources are due: computed from their cron expression, by the database's clock, in UTC."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from db.connection import connect
from db.errors import UsageError
from db.ingest_sources import (
    correct_next_scan,
    enqueue_scan,
    later_times,
    note_scan,
    set_next_scan,
    take_schedule,
    times,
)

_LONE = re.compile(r"(?<![^\s,])([0-9]+)-([0-9]+)(/[0-9]+)?(?![^\s,])")


def _lone(found: re.Match[str]) -> str:
    """A range of one number as that number: croniter takes ``3-3`` for the whole range of the field."""
    return found[1] if int(found[1]) == int(found[2]) else found[0]


def next_time(cron: str, after: datetime) -> datetime:
    """The first moment after another one that a cron expression names.

    Args:
        cron: five fields; day of month and day of week, where both are restricted, each suffice.
        after: moment with zone.

    Raises:
        UsageError: it names none.

    """
    try:
        found: datetime = croniter(_LONE.sub(_lone, cron), after.astimezone(UTC)).get_next(datetime)
    except (CroniterBadCronError, CroniterBadDateError, ValueError) as error:
        raise UsageError(f"cron {cron!r} names no moment: {error}") from None
    return found


def enqueue_due_sources(url: str) -> int:
    """Put a job into the queue for each source that is due, and compute when it is due next.

    Called every some seconds by every worker; one of them at a time does it. A time that was missed, because
    nothing ran, is made up for once, however many it were. A time later than the next one that the expression
    names, written down while the database's clock ran ahead, is computed anew.

    Args:
        url: database.

    Returns:
        How many sources jobs were made for; 0 where another worker is at it.

    """
    made = 0
    with connect(url, application_name="lode scheduler") as conn:
        if not take_schedule(conn):
            return 0
        for each in times(conn):
            try:
                following = next_time(each.cron, each.now)
            except UsageError as error:
                note_scan(conn, each.ingest_source_id, str(error))
                continue
            if each.is_due and enqueue_scan(conn, each.ingest_source_id):
                made += 1
            set_next_scan(conn, each.ingest_source_id, following)
        for each, said in later_times(conn):
            with suppress(UsageError):
                following = next_time(each.cron, each.now)
                if said > following:
                    correct_next_scan(conn, each.ingest_source_id, said, following)
    return made
