"""Tasks of sources, as workers run them: each may run again after any crash, and changes nothing twice.

What a task needs is loaded when the first one of its kind is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from db.settings import Settings

Beat = Callable[[str, int, int], None]


def scan_source(url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
    """Look through the source ``ingest_source_id``; counts of what is there.

    Raises:
        UsageError: it cannot be read.
        RetryError: something outside was in the way.

    """
    from ingest.sources.scanning import scan

    outcome = scan(url, int(args["ingest_source_id"]), beat, roots=Settings().roots())
    return {
        "listed": outcome.listed,
        "new": outcome.new,
        "skipped": outcome.skipped,
        "unsettled": outcome.unsettled,
        "refused": len(outcome.refused),
        "paused": outcome.is_paused,
    }


def ingest_item(url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
    """Fetch and store the item ``ingest_item_id`` and ask for its interpretation.

    Raises:
        UsageError: it is refused, or failed three times.
        RetryError: something outside was in the way; another attempt may follow.
        SupersededError: it was given to another worker.
        InterruptionError: stopped by ``beat``; the attempt was given back.

    """
    from ingest.sources.ingesting import ingest_item as ingest

    return asdict(ingest(url, int(args["ingest_item_id"]), beat, roots=Settings().roots()))


def report_source(url: str, args: Mapping[str, Any], beat: Beat) -> dict[str, Any]:
    """Write the report of what was published of the source ``ingest_source_id`` since the last one.

    Raises:
        UsageError: its folder is refused or cannot be written to.
        RetryError: something outside was in the way.

    """
    from service.source_reports import write_report

    written = write_report(url, int(args["ingest_source_id"]), beat)
    return (
        {"report": None, "items": 0} if written is None else {"report": written.name, "items": written.items}
    )
