"""Where a report goes: a file that appears whole or not at all, or standard output."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from db.errors import UsageError

FORMATS = ("table", "csv", "json", "gpkg", "html")
_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "json",
    ".gpkg": "gpkg",
    ".html": "html",
    ".htm": "html",
    ".txt": "table",
}

GENERATOR = '<meta name="generator" content="Lode '
"""What tells a page of ours; it stands among its first lines."""
_HEAD_BYTES = 4096


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


def write_text(text: str, out: Path | None, *, style: str, overwrite: bool = False) -> None:
    """Write UTF-8 text to a file, or to standard output as it is.

    Args:
        text: csv, json or html.
        out: the file; None: standard output.
        style: which of the three.
        overwrite: replace the file whatever it holds; else only a report with the same columns or tables.

    Raises:
        UsageError: as ``write_whole``.

    """
    if out is None:
        sys.stdout.write(text)
        return
    alike = {"csv": _same_columns, "json": _same_keys, "html": _is_page}[style]
    write_whole(
        out,
        lambda path: path.write_text(text, "utf-8", newline=""),
        is_report=lambda path: alike(path, text),
        overwrite=overwrite,
    )


def write_whole(
    out: Path, write: Callable[[Path], object], *, is_report: Callable[[Path], bool], overwrite: bool = False
) -> None:
    """Let ``write`` make a file beside ``out`` and put it in its place; a failure leaves what was there.

    What is replaced is said. A link stays a link: the file it leads to is replaced.

    Args:
        out: the file.
        write: makes it, at the path it is given.
        is_report: whether the file that is there is a report, which a newer one may replace.
        overwrite: replace whatever is there.

    Raises:
        UsageError: the folder is missing or closed, the disk is full, ``out`` is a folder or a device, or it
            holds something else than a report and ``overwrite`` is false.

    """
    target = Path(os.path.realpath(out))
    if target.is_dir():
        raise UsageError(f"{out}: is a folder; name a file in it")
    try:
        is_there = target.exists()
        if is_there and not target.is_file():
            raise UsageError(f"{out}: is no file; without --out a report goes to standard output")
        if is_there and target.stat().st_size and not (overwrite or is_report(target)):
            raise UsageError(
                f"{out}: exists and is not this report; name another file, or give --overwrite to replace it"
            )
        with tempfile.TemporaryDirectory(prefix=".lode-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            write(made)
            if is_there:
                made.chmod(target.stat().st_mode & 0o777)
            _sync(made)
            os.replace(made, target)
        _sync(target.parent)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}") from None
    click.echo(f"{'replaced' if is_there else 'wrote'} {out}", err=True)


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk: a name must not come before its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _same_columns(path: Path, text: str) -> bool:
    """Whether a file begins with the same line of column names."""
    head = text[: text.index("\n") + 1].encode()
    with path.open("rb") as file:
        return file.read(len(head)) == head


def _same_keys(path: Path, text: str) -> bool:
    """Whether a file holds JSON with the same tables, or rows with the same columns."""
    try:
        there, wanted = json.loads(path.read_bytes()), json.loads(text)
    except ValueError:
        return False
    if isinstance(there, list) and isinstance(wanted, list):
        if not there or not wanted:
            return not there or isinstance(there[0], dict)
        return isinstance(there[0], dict) and there[0].keys() == wanted[0].keys()
    return isinstance(there, dict) and isinstance(wanted, dict) and there.keys() == wanted.keys()


def _is_page(path: Path, _text: str) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD_BYTES)
