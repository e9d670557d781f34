"""Where a report goes: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from db.errors import UsageError
from db.reports.views import Report
from reporting.rows import plain_value

FORMATS = ("table", "csv", "json", "gpkg", "html")
_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "json",
    ".gpkg": "gpkg",
    ".html": "html",
    ".htm": "html",
    ".txt": "table",
}


def chosen_format(style: str | None, out: Path | None, formats: Sequence[str] = FORMATS) -> str:
    """The format asked for, else the one that the file's name says, else a table.

    Raises:
        UsageError: the file's name says another, or a file is needed and none is named.

    """
    told = _OF_SUFFIX.get(out.suffix.lower()) if out is not None else None
    if style is None:
        style = told or "table"
    elif told is not None and told != style:
        raise UsageError(f"{out}: the name says {told} but --format says {style}; change one of them")
    if style not in formats:
        raise UsageError(f"{out}: this report is no page; choose one of {', '.join(formats)}")
    if out is None and style == "gpkg":
        raise UsageError("a GeoPackage is a file: name it with --out FILE.gpkg")
    if out is None and style == "html" and sys.stdout.isatty():
        raise UsageError("a page is not for the terminal: name a file with --out FILE.html")
    if out is not None and style == "table":
        raise UsageError(f"{out}: a table is for the terminal; a file is csv, json, gpkg or html")
    return style


def write_text(text: str, out: Path | None) -> None:
    """Write UTF-8 text to a file, or to standard output as it is."""
    if out is None:
        sys.stdout.write(text)
        return
    write_whole(out, lambda path: path.write_text(text, "utf-8", newline=""))
    click.echo(f"wrote {out}", err=True)


def write_whole(out: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``out`` and put it in its place; a failure leaves what was there.

    An existing file is replaced.

    Raises:
        UsageError: the folder is missing or closed, the disk is full, or ``out`` is a folder.

    """
    if out.is_dir():
        raise UsageError(f"{out}: is a folder; name a file in it")
    try:
        with tempfile.TemporaryDirectory(prefix=".lode-", dir=out.parent) as folder:
            made = Path(folder) / out.name
            write(made)
            if out.exists():
                made.chmod(out.stat().st_mode & 0o777)
            os.replace(made, out)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None


def csv_text(report: Report) -> str:
    """A table as CSV (RFC 4180, comma, UTF-8): full digits, units in the columns' names, empty for null."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(report.columns)
    writer.writerows([_csv_value(value) for value in row] for row in report.rows)
    return file.getvalue()


def json_text(tables: Report | Mapping[str, Report]) -> str:
    """A table as a list of objects; several tables as an object of such lists."""
    content = _objects(tables) if isinstance(tables, Report) else {k: _objects(v) for k, v in tables.items()}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _objects(report: Report) -> list[dict[str, object]]:
    return [
        {key: plain_value(value) for key, value in zip(report.columns, row, strict=True)}
        for row in report.rows
    ]


def _csv_value(value: object) -> object:
    plain = plain_value(value)
    return " ".join(map(str, plain)) if isinstance(plain, list) else plain
