"""Reports of what came from a source: a folder that is there as a whole or not at all, each once."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.connection import connect, read_as_of_now, retrying
from db.errors import RetryError, UsageError
from db.ingest_reports import Batch, mark_reported, open_batch, pairs_of_years, rename_batch, reporting_on
from db.ingest_sources import IngestSource, note_error, source_by_id
from db.points import reached
from db.reports.report import csv_text
from reporting.mine_page import mine_page
from reporting.mine_report import gather_mine
from reporting.overview_page import overview_page
from reporting.overview_report import gather_change, gather_damage
from service.report_places import ReportSettings, report_place

Beat = Callable[[str, int, int], None]

MANIFEST = "manifest.json"
_UNFINISHED = ".lode-report-"


@dataclass(frozen=True)
class Written:
    """A report that is complete.

    Attributes:
        name: folder, within the source's.
        items: how many scenes it tells of.
        is_new: False where it was complete already, and only that had not been written down.

    """

    name: str
    items: int
    is_new: bool


def write_report(url: str, source_id: int, beat: Beat) -> Written | None:
    """Write the report of what was published of a source since its last report.

    Its name is written down before it is. A folder of that name whose manifest tells of the same scenes is
    that report, complete: whoever comes back after a crash only writes down that it is.

    Args:
        url: database.
        source_id: the source.
        beat: takes progress; may raise InterruptionError, after which nothing is left in the folder.

    Returns:
        What was written; None where there is nothing to report.

    Raises:
        UsageError: the folder is refused or cannot be written to.
        RetryError: another worker is at it, or something outside was in the way.

    """
    with connect(url, autocommit=True, application_name="lode source report") as holding:
        source = source_by_id(holding, source_id)
        if source.report_folder is None:
            return None
        try:
            with reporting_on(holding, source_id):
                return _report(url, source, source.report_folder, beat)
        except RetryError:
            raise
        except UsageError as error:
            note_error(holding, source_id, f"its report was not written: {error}")
            raise


def _report(url: str, source: IngestSource, named: str, beat: Beat) -> Written | None:
    place = report_place(named, ReportSettings().roots())
    batch = retrying(lambda: _next_batch(url, source, place))
    if batch is None:
        return None
    is_new = not _is_of(place / batch.name, source, batch)
    if is_new:
        _write(url, source, batch, place, beat)
    return Written(batch.name, retrying(lambda: _mark(url, batch)), is_new)


def _next_batch(url: str, source: IngestSource, place: Path) -> Batch | None:
    with connect(url, application_name="lode source report") as conn:
        taken = frozenset(entry.name for entry in os.scandir(place))
        batch = open_batch(conn, source.ingest_source_id, taken)
        if batch is not None and batch.name in taken and not _is_of(place / batch.name, source, batch):
            batch = rename_batch(conn, source.ingest_source_id, batch, taken)
        return batch


def _is_of(folder: Path, source: IngestSource, batch: Batch) -> bool:
    """Whether a folder is the complete report of these scenes."""
    with suppress(OSError, ValueError):
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return bool(manifest["source"] == source.name and manifest["items"] == list(batch.item_ids))
    return False


def _mark(url: str, batch: Batch) -> int:
    with connect(url, application_name="lode source report") as conn:
        return mark_reported(conn, batch)


def _write(url: str, source: IngestSource, batch: Batch, place: Path, beat: Beat) -> None:
    try:
        _sweep(place, source)
        made = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{source.ingest_source_id}-", dir=place))
        try:
            with connect(url, application_name="lode source report") as conn:
                read_as_of_now(conn)
                _write_files(conn, batch, made, beat)
            _write_manifest(made, source, batch)
            made.chmod(0o755)
            for path in (*made.iterdir(), made):
                _sync(path)
            reached("report.before_rename")
            _put(made, place / batch.name)
            _sync(place)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(f"{place}: the report cannot be written: {error.strerror or error}") from error


def _put(made: Path, place: Path) -> None:
    """Give a folder that is complete its name.

    Raises:
        RetryError: another source that reports to the same folder has taken that name meanwhile.

    """
    try:
        made.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise RetryError(f"{place}: somebody else wrote a report of this name meanwhile") from error


def _sweep(place: Path, source: IngestSource) -> None:
    """Remove what killed workers left; the caller holds the source's reports."""
    for left in place.glob(f"{_UNFINISHED}{source.ingest_source_id}-*"):
        shutil.rmtree(left, ignore_errors=True)


def _write_files(conn: Connection[Any], batch: Batch, folder: Path, beat: Beat) -> None:
    pairs = pairs_of_years(conn, batch.years)
    total = 1 + len(pairs) + len(batch.mine_codes)
    done = 0

    def step() -> None:
        nonlocal done
        beat("writing the report", done, total)
        done += 1

    step()
    if batch.mine_codes:
        damage = gather_damage(conn, None, list(batch.years))
        _text(folder / "damage.csv", csv_text(damage.tables["damage"]))
        _text(folder / "damage.html", overview_page(damage, "both"))
        _text(folder / "gaps.csv", csv_text(damage.tables["gaps"]))
    for first, last in pairs:
        step()
        change = gather_change(conn, None, (first, last))
        _text(folder / f"change-{first}-{last}.csv", csv_text(change.tables["change"]))
        _text(folder / f"change-{first}-{last}.html", overview_page(change, "both"))
    for number, code in enumerate(batch.mine_codes, 1):
        step()
        page = mine_page(conn, gather_mine(conn, code), "both")
        _text(folder / f"mine-{number:04d}-{_safe(code)}.html", page)


def _text(path: Path, text: str) -> None:
    path.write_text(text, "utf-8", newline="")


def _safe(code: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", code)[:60]


def _write_manifest(folder: Path, source: IngestSource, batch: Batch) -> None:
    files = [
        {
            "name": path.name,
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.iterdir())
    ]
    content = {
        "source": source.name,
        "report": batch.name,
        "years": list(batch.years),
        "mines": list(batch.mine_codes),
        "items": list(batch.item_ids),
        "files": files,
    }
    _text(folder / MANIFEST, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
