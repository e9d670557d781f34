"""One item of a source into the database: fetched, ingested, marked so in the transaction of its scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection

from db.connection import connect, describe, is_transient, retrying
from db.errors import InterruptionError, RetryError, SupersededError, UsageError
from db.ingest_items import (
    Claim,
    claim_item,
    end_attempt,
    finish_item,
    note_fetched,
    release_item,
    skip_item,
    source_of_item,
    storing_name,
    working_name,
)
from db.ingest_sources import IngestSource, source_by_id
from db.machine_faults import machine_fault
from db.points import reached
from ingest.product_scene import ingest_product
from ingest.scene import ingest_scene
from ingest.scene_store import SceneOutcome
from ingest.sources.cache import CacheFolder, cache_folder
from ingest.sources.material import Material, material_of
from ingest.sources.options import scene_options
from ingest.sources.settings import SourceSettings
from ingest.sources.wanted import unwanted_reason
from ingest.sources.web import Beat
from ingest.workspace import workspace

_TOLD_EVERY_S = 5.0


@dataclass(frozen=True)
class ItemOutcome:
    """What became of an item.

    Attributes:
        status: its status now.
        key: its key in the source; None: nothing was done.
        reason: why it was skipped; None: it was not.
        product, version: the scene it became.
        is_new: False where that very scene was there.
        run_id: its interpretation; None: none was asked for.

    """

    status: str
    key: str | None = None
    reason: str | None = None
    product: str | None = None
    version: int | None = None
    is_new: bool = False
    run_id: int | None = None


def ingest_item(
    url: str,
    item_id: int,
    beat: Beat,
    *,
    settings: SourceSettings | None = None,
    roots: tuple[Path, ...] = (),
    is_by_hand: bool = False,
) -> ItemOutcome:
    """Fetch and store an item, if that is still to be done.

    Args:
        url: database.
        item_id: the item.
        beat: takes progress; may raise InterruptionError.
        settings: of fetching.
        roots: folders that files must lie in; empty: any.
        is_by_hand: also of a paused source, and nothing that another process is at.

    Raises:
        UsageError: the item is refused, or failed three times; its row says why.
        RetryError: something outside was in the way; another attempt may follow.
        OSError, RetryError: a disk of this machine has no room; the attempt was given back.
        SupersededError: the item was given to another worker; nothing was stored.
        InterruptionError: stopped by ``beat``; the attempt was given back, what was fetched stays.

    """
    begun = retrying(lambda: _begin(url, item_id, is_by_hand))
    if isinstance(begun, ItemOutcome):
        return begun
    source, claim = begun
    try:
        return _attempt(url, source, claim, settings or SourceSettings(), roots, beat)
    except SupersededError:
        raise
    except (InterruptionError, KeyboardInterrupt) as stop:
        if isinstance(stop, InterruptionError) and stop.is_cancelled:
            retrying(lambda: _with(url, lambda conn: end_attempt(conn, claim, "cancelled", is_final=True)))
        else:
            _give_back(url, claim)
        raise
    except Exception as error:
        if machine_fault(error) is not None:  # another machine may have room
            _give_back(url, claim)
            raise
        if isinstance(error, UsageError) and not isinstance(error, RetryError):
            told = str(error)
            retrying(lambda: _with(url, lambda conn: end_attempt(conn, claim, told, is_final=True)))
            raise
        if isinstance(error, UsageError) or is_transient(error):
            raise _failed(url, claim, error) from error
        told = f"{type(error).__name__}: {describe(error)}"
        with suppress(psycopg.Error, UsageError):
            _with(url, lambda conn: end_attempt(conn, claim, told, is_final=claim.is_last))
        raise


def _give_back(url: str, claim: Claim) -> None:
    retrying(lambda: _with(url, lambda conn: release_item(conn, claim.ingest_item_id, claim.token)))


def _failed(url: str, claim: Claim, error: Exception) -> UsageError:
    """Write down that an attempt failed; the error to raise."""
    told = describe(error)
    retrying(lambda: _with(url, lambda conn: end_attempt(conn, claim, told, is_final=claim.is_last)))
    if claim.is_last:
        return UsageError(f"{claim.key}: gave up after {claim.attempt} attempts: {told}")
    return RetryError(f"{claim.key}: attempt {claim.attempt} failed: {told}")


def _with(url: str, call: Callable[[Connection[Any]], None]) -> None:
    with connect(url, application_name="lode source") as conn:
        call(conn)


def _begin(url: str, item_id: int, is_by_hand: bool) -> tuple[IngestSource, Claim] | ItemOutcome:
    with connect(url, application_name="lode source") as conn:
        found = source_of_item(conn, item_id)
        if found is None:
            return ItemOutcome("removed")
        source = source_by_id(conn, found[0])
        if not source.is_enabled and not is_by_hand:
            return ItemOutcome("paused")
        claim = claim_item(conn, item_id, is_by_hand=is_by_hand)
        if claim is None:
            after = source_of_item(conn, item_id)
            return ItemOutcome("removed" if after is None else after[1])
        return source, claim


class _Counter:
    """Tells the database now and then how many bytes lie here."""

    def __init__(self, conn: Connection[Any], claim: Claim, beat: Beat) -> None:
        self._conn, self._claim, self._beat = conn, claim, beat
        self._told_at = time.monotonic()

    def __call__(self, fetched_bytes: int) -> None:
        self._beat("fetching", fetched_bytes, 0)
        if time.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self._told_at = time.monotonic()
            # It is said again soon; a database that restarts must not end a long download.
            with suppress(psycopg.Error):
                note_fetched(self._conn, self._claim, fetched_bytes)


def _attempt(
    url: str,
    source: IngestSource,
    claim: Claim,
    settings: SourceSettings,
    roots: tuple[Path, ...],
    beat: Beat,
) -> ItemOutcome:
    options = scene_options(source.options, roots)
    identity = "\n".join((source.location, claim.key, claim.mark, claim.href))
    beat("fetching", 0, 0)  # the worker notes whose attempt it is, for it may have to end this process
    with (
        connect(url, autocommit=True, application_name=working_name(claim.ingest_item_id)) as telling,
        cache_folder(settings.cache_folder(), identity) as cache,
        workspace() as folder,
    ):
        try:
            counter = _Counter(telling, claim, beat)
            material, fetched = material_of(
                source, claim, options, settings, roots, cache.path, folder, counter, beat
            )
            retrying(lambda: _with(url, lambda c: note_fetched(c, claim, fetched, is_all=True)))
            reached("fetch.after")
            beat("ingesting", 0, 0)
            return retrying(lambda: _store(url, source, claim, material, cache, folder, roots, beat))
        except UsageError as error:
            if not isinstance(error, RetryError):
                cache.finish()  # it will not be better the next time
            raise


def _store(
    url: str,
    source: IngestSource,
    claim: Claim,
    material: Material,
    cache: CacheFolder,
    folder: Path,
    roots: tuple[Path, ...],
    beat: Beat,
) -> ItemOutcome:
    """The scene, the item's mark and the request of its interpretation, in one transaction."""
    with connect(url, application_name=storing_name(claim.ingest_item_id)) as conn:
        reason = unwanted_reason(conn, source, material.facts)
        if reason is not None:
            skip_item(conn, claim, reason, material.facts)
            cache.finish()
            return ItemOutcome("skipped", claim.key, reason)
        outcome = _ingest(url, conn, material, folder, roots, beat)
        scene = outcome.scene
        run_id = finish_item(conn, claim, source, scene.scene_id, scene.sha256)
        reached("ingest.before_commit")
        conn.commit()
    reached("ingest.after_commit")
    cache.finish()
    return ItemOutcome("ingested", claim.key, None, scene.product, scene.version, outcome.is_new, run_id)


def _ingest(
    url: str, conn: Connection[Any], material: Material, folder: Path, roots: tuple[Path, ...], beat: Beat
) -> SceneOutcome:
    def reference() -> AbstractContextManager[Connection[Any]]:
        return connect(url, application_name="lode ingest reference")

    if material.product is not None:
        return ingest_product(
            conn,
            material.product,
            material.treatment,
            connect=reference,
            source_name=material.name,
            workspace=folder,
            roots=roots,
            progress=beat,
        )
    if material.file is None or material.statement is None:
        raise TypeError("material is a product, or a file with a statement")
    return ingest_scene(
        conn,
        material.file,
        material.statement,
        treatment=material.treatment,
        connect=reference,
        roots=roots,
        progress=beat,
    )
