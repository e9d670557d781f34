"""Looking through a source: what is there is written down once, with a job for each scene that is wanted."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.connection import connect, describe, retrying
from db.errors import UsageError
from db.ingest_items import (
    Found,
    enqueue_item,
    enqueue_lost,
    insert_item,
    known_item,
    move_item,
    reopen_item,
)
from db.ingest_returns import reopen_replaced, replaced_items
from db.ingest_runs import ask_waiting
from db.ingest_sources import IngestSource, ask_report, note_scan, printable, source_by_id, wanted_bounds
from ingest.sources.api import api_items
from ingest.sources.catalogue import catalogue_io, catalogue_items
from ingest.sources.folder import folder_items
from ingest.sources.listing import Refused, Unsettled
from ingest.sources.options import scene_options
from ingest.sources.settings import SourceSettings
from ingest.sources.stac_io import GuardedIO
from ingest.sources.wanted import unwanted_reason
from ingest.sources.web import Beat, Web

_BATCH = 100
_CATALOGUE_REST_S = 86_400.0
"""Servers of a catalogue that are not of one mind show old and new content by turns: once a day is enough."""
_TOLD = 5
"""Refusals whose reason is written down."""

_Listed = dict[str, dict[int, str]]
"""What a look lists of scenes with several contents: key to item to where it lies."""


@dataclass
class ScanOutcome:
    """Counts of a look through a source.

    Attributes:
        listed: scenes that are there.
        new: of them, never seen with this content, or there again, or now wanted, and wanted.
        skipped: of them, never seen and not wanted.
        unsettled: still being written; left for the next time.
        refused: what could not be taken, with the reason.
        is_paused: nothing was done, because the source is paused.
        waiting: scenes whose interpretation waits for a quota, with the reason.

    """

    listed: int = 0
    new: int = 0
    skipped: int = 0
    unsettled: int = 0
    refused: list[str] = field(default_factory=list)
    is_paused: bool = False
    waiting: tuple[int, str] | None = None

    @property
    def error(self) -> str | None:
        """What the source's row is told; None: nothing went wrong."""
        told = []
        if self.refused:
            more = f"; and {len(self.refused) - _TOLD} more" if len(self.refused) > _TOLD else ""
            told.append(f"{len(self.refused)} refused: {'; '.join(self.refused[:_TOLD])}{more}")
        if self.waiting is not None:
            count, reason = self.waiting
            told.append(f"{count} stored and not interpreted yet: {reason}")
        return "; ".join(told) or None


def scan(
    url: str,
    source_id: int,
    beat: Beat,
    *,
    settings: SourceSettings | None = None,
    roots: tuple[Path, ...] = (),
    is_by_hand: bool = False,
) -> ScanOutcome:
    """Look through a source.

    Two at once write down each scene once: the database's key decides. What was not wanted before and is now,
    because the source was changed, is found anew; so is content that is there again after other content took
    its place. Scenes that were found and lost their job get a new one.

    Args:
        url: database.
        source_id: the source.
        beat: takes progress; may raise InterruptionError, after which the next look finds the rest.
        settings: of fetching.
        roots: folders that files must lie in; empty: any.
        is_by_hand: also of a paused source, and without jobs: whoever calls ingests what was found.

    Raises:
        UsageError: the source cannot be read; the reason is in its row.
        RetryError: something outside was in the way.

    """
    source = retrying(lambda: _load(url, source_id))
    if not source.is_enabled and not is_by_hand:
        return ScanOutcome(is_paused=True)
    outcome = ScanOutcome()
    listed: _Listed = {}
    try:
        entries = _listed(url, source, settings or SourceSettings(), roots, beat)
        while batch := list(itertools.islice(entries, _BATCH)):
            _note(url, source, batch, outcome, listed, is_by_hand)
            beat("writing down what was found", outcome.listed, 0)
        outcome.new += retrying(lambda: _take_again(url, source, listed, is_by_hand))
        outcome.waiting = retrying(lambda: _requeue(url, source_id, is_by_hand))
    except UsageError as error:
        told = describe(error)
        retrying(lambda: _finish(url, source_id, told))
        raise
    retrying(lambda: _finish(url, source_id, outcome.error))
    return outcome


def _load(url: str, source_id: int) -> IngestSource:
    with connect(url, application_name="lode source") as conn:
        return source_by_id(conn, source_id)


def _listed(
    url: str, source: IngestSource, settings: SourceSettings, roots: tuple[Path, ...], beat: Beat
) -> Iterator[Found | Refused | Unsettled]:
    options = scene_options(source.options, roots)
    with connect(url, application_name="lode source") as conn:
        bounds = wanted_bounds(conn, source)
    if source.kind == "folder":
        return folder_items(
            source.location,
            roots,
            settle_s=source.settle_s,
            takes_plain=options.stated is not None,
            beat=beat,
        )
    web = Web(settings, source.location, beat)
    if source.kind == "stac_api":
        return api_items(GuardedIO(web), source, bounds, beat)
    return catalogue_items(
        catalogue_io(web, source.location, roots), source.location, source.collections, beat
    )


def _note(
    url: str,
    source: IngestSource,
    batch: list[Found | Refused | Unsettled],
    outcome: ScanOutcome,
    listed: _Listed,
    is_by_hand: bool,
) -> None:
    found = [each for each in batch if isinstance(each, Found)]

    def write() -> tuple[int, int]:
        with connect(url, application_name="lode source") as conn:
            states = [_note_one(conn, source, each, listed, is_by_hand) for each in found]
            return states.count("new"), states.count("skipped")

    new, skipped = retrying(write)
    outcome.listed += len(found)
    outcome.new += new
    outcome.skipped += skipped
    outcome.unsettled += sum(isinstance(each, Unsettled) for each in batch)
    outcome.refused += [printable(each.reason) for each in batch if isinstance(each, Refused)]


def _note_one(
    conn: Connection[Any], source: IngestSource, found: Found, listed: _Listed, is_by_hand: bool
) -> str:
    """Write one scene down, with its job, in the caller's transaction: new, skipped or known."""
    known = known_item(conn, source.ingest_source_id, found)
    if known is not None:
        if known.href != found.href:
            move_item(conn, known.ingest_item_id, found.href)
        if known.has_others:
            listed.setdefault(found.key, {})[known.ingest_item_id] = found.href
        if known.status != "skipped" or known.has_run or unwanted_reason(conn, source, known.facts):
            return "known"
        if not reopen_item(conn, known.ingest_item_id):
            return "known"
        item_id: int | None = known.ingest_item_id
        unwanted = None
    else:
        unwanted = unwanted_reason(conn, source, found.facts)
        item_id = insert_item(conn, source.ingest_source_id, found, unwanted)
    if item_id is None:
        return "known"
    if unwanted is not None:
        return "skipped"
    if not is_by_hand:
        enqueue_item(conn, item_id)
    return "new"


def _take_again(url: str, source: IngestSource, listed: _Listed, is_by_hand: bool) -> int:
    """Find content anew that is there again after other content of its scene was ingested; how many.

    Where both are listed in one look nobody can say which one counts, and nothing happens.
    """
    hrefs = {item_id: href for each in listed.values() if len(each) == 1 for item_id, href in each.items()}
    if not hrefs:
        return 0
    rest_s = 0.0 if source.kind == "folder" else _CATALOGUE_REST_S
    count = 0
    with connect(url, application_name="lode source") as conn:
        for item_id, facts in replaced_items(conn, list(hrefs), rest_s):
            if unwanted_reason(conn, source, facts) is not None:
                continue
            if reopen_replaced(conn, item_id, hrefs[item_id], rest_s):
                count += 1
                if not is_by_hand:
                    enqueue_item(conn, item_id)
            conn.commit()
    return count


def _requeue(url: str, source_id: int, is_by_hand: bool) -> tuple[int, str] | None:
    """Ask for what waits; how many interpretations go on waiting, and why."""
    with connect(url, application_name="lode source") as conn:
        count, reason = ask_waiting(conn, source_by_id(conn, source_id))
        if not is_by_hand:
            enqueue_lost(conn, source_id)
            ask_report(conn, source_id)
    return None if reason is None else (count, reason)


def _finish(url: str, source_id: int, error: str | None) -> None:
    with connect(url, application_name="lode source") as conn:
        note_scan(conn, source_id, error)
