"""One file from a server: streamed into a part file, gone on with where it stopped, checked, then renamed."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import requests
from requests import Response

from db.errors import RetryError, UsageError
from db.local_disk import LocalDiskError
from ingest.sources.checksum import matches
from ingest.sources.web import RequestFailedError, Web, shown

_CHUNK_BYTES = 1 << 18
LEAST_BYTES = 1 << 20
"""What must come of a file in the time that a page may take; a server that sends less holds a worker up."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Count = Callable[[int], None]
"""Takes the bytes of this file that lie here."""


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched.

    Attributes:
        url: address.
        target: where it shall lie.
        checksum: kind and digest that the catalogue states; None: none.
        size_bytes: size that the catalogue states; None: none.

    """

    url: str
    target: Path
    checksum: tuple[str, str] | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class _Begun:
    """What is known of a part file: by this a server can tell whether it still has the same file.

    Attributes:
        address: address without its query, which may be signed anew.
        validator: strong entity tag or moment of the last change; None: the server names neither.
        boot: the run of this machine it was written in; after a crash of the machine its end may be missing.

    """

    address: str
    validator: str | None
    boot: str


def fetch(web: Web, wanted: Wanted, count: Count) -> int:
    """Fetch a file, from where an earlier attempt stopped if the server still has the same.

    Returns:
        Its size in bytes.

    Raises:
        RetryError: the server, the network or the disk were in the way; what came stays for the next attempt.
        LocalDiskError: the disk has no room now; it is large enough.
        UsageError: the file is refused: too large, no image, or not what the catalogue says.

    """
    if wanted.target.exists():
        return wanted.target.stat().st_size
    part = wanted.target.with_name(wanted.target.name + ".part")
    _check_size(wanted, wanted.size_bytes, web)
    web.patiently("fetching", lambda: _attempt(web, wanted, part, count))
    size = part.stat().st_size
    fault = _fault(part, wanted)
    if fault is not None:
        # Perhaps the pieces of two versions: once more, from the beginning.
        _forget(part)
        web.patiently("fetching", lambda: _attempt(web, wanted, part, count))
        size = part.stat().st_size
        fault = _fault(part, wanted)
        if fault is not None:
            _forget(part)
            raise UsageError(f"{shown(wanted.url)}: {fault}; it is refused")
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(wanted.target)
    _forget(part)
    return size


def _fault(part: Path, wanted: Wanted) -> str | None:
    size = part.stat().st_size
    if size == 0:
        return "is empty"
    if wanted.size_bytes is not None and size != wanted.size_bytes:
        return f"has {size} bytes, and the catalogue says {wanted.size_bytes}"
    if wanted.checksum is not None and not matches(part, wanted.checksum):
        return f"has not the {wanted.checksum[0]} that the catalogue states"
    return None


def _attempt(web: Web, wanted: Wanted, part: Path, count: Count) -> None:
    begun = _begun(part, wanted)
    have = part.stat().st_size if begun is not None else 0
    # A compressed body would count other bytes than the file has.
    headers = {"Accept-Encoding": "identity"}
    if begun is not None and begun.validator is not None and have:
        headers |= {"Range": f"bytes={have}-", "If-Range": begun.validator}
    with web.opened(wanted.url, headers=headers) as answer:
        start, total = _place(answer, wanted, part, have)
        if start is None:
            return  # all of it lies here
        _check_kind(answer, wanted)
        _check_size(wanted, total, web)
        _check_room(part, None if total is None else total - start, web)
        if start == 0:
            _remember(part, wanted, answer)
        _write(answer, part, start, wanted, web, count)
        have = part.stat().st_size
        if total is not None and have != total:
            raise RequestFailedError(f"{shown(wanted.url)}: {have} of {total} bytes came")


def _place(answer: Response, wanted: Wanted, part: Path, have: int) -> tuple[int | None, int | None]:
    """Where the body begins in the file (None: nothing is missing), and the file's size if it is known."""
    if answer.status_code == 416:
        found = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
        if found is not None and int(found[1]) == have and have:
            return None, have
        _forget(part)
        raise RequestFailedError(f"{shown(wanted.url)}: the server has no bytes from {have} on")
    if answer.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != have:
            raise UsageError(f"{shown(wanted.url)}: the server sends other bytes than it was asked for")
        return have, None if found[3] == "*" else int(found[3])
    if answer.status_code != 200:
        raise UsageError(f"{shown(wanted.url)}: the server answers {answer.status_code}")
    length = answer.headers.get("Content-Length", "")
    is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    return 0, int(length) if is_plain and length.isdigit() else None


def _check_kind(answer: Response, wanted: Wanted) -> None:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise UsageError(f"{shown(wanted.url)}: is a web page, no image: the server wants a log-in, or errs")


def _check_size(wanted: Wanted, size: int | None, web: Web) -> None:
    limit = web.settings.fetch_limit_bytes
    if size is not None and size > limit:
        raise UsageError(
            f"{shown(wanted.url)}: has {size} bytes; at most {limit} are fetched (LODE_FETCH_LIMIT_BYTES)"
        )


def _check_room(part: Path, needed: int | None, web: Web) -> None:
    spare, wanted_bytes = web.settings.fetch_spare_bytes, needed or 0
    disk = shutil.disk_usage(part.parent)
    free = disk.free
    if wanted_bytes + spare > free:
        kind = LocalDiskError if wanted_bytes + spare <= disk.total else RetryError
        raise kind(
            f"{part.parent.parent}: {free >> 20} MiB are free, {wanted_bytes >> 20} MiB are to come and "
            f"{spare >> 20} MiB shall stay free; make room, or set LODE_CACHE"
        )


def _write(answer: Response, part: Path, start: int, wanted: Wanted, web: Web, count: Count) -> None:
    have, counted, since = start, start, time.monotonic()
    try:
        with part.open("r+b" if start else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            # Not iter_content: of a block that the connection breaks in, it loses what came.
            while block := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
                stream.write(block)
                have += len(block)
                if have > web.settings.fetch_limit_bytes:
                    _check_size(wanted, have, web)
                stream.flush()
                count(have)
                if time.monotonic() - since > web.settings.fetch_document_s:
                    if have - counted < LEAST_BYTES:
                        raise RetryError(
                            f"{shown(wanted.url)}: comes too slowly: {have - counted} bytes in "
                            f"{web.settings.fetch_document_s:g} s (LODE_FETCH_DOCUMENT_S)"
                        )
                    counted, since = have, time.monotonic()
    except (requests.RequestException, ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise RetryError(f"{part.parent}: cannot be written: {error.strerror or error}") from error


def _begun(part: Path, wanted: Wanted) -> _Begun | None:
    """What an earlier attempt left, if it is of this file and this run of the machine."""
    try:
        begun = _Begun(**json.loads(_note(part).read_text("utf-8")))
        is_there = part.is_file()
    except (OSError, ValueError, TypeError):
        return None
    return begun if is_there and begun.address == shown(wanted.url) and begun.boot == _boot() else None


def _remember(part: Path, wanted: Wanted, answer: Response) -> None:
    tag = answer.headers.get("ETag", "")
    is_strong = tag.startswith('"') and tag.endswith('"')
    # Places in a compressed body are none in the file.
    is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    is_whole = is_plain and answer.headers.get("Accept-Ranges", "bytes") != "none"
    last_changed = None if tag else answer.headers.get("Last-Modified")
    validator = tag if is_strong else last_changed
    part.unlink(missing_ok=True)
    begun = _Begun(shown(wanted.url), validator if is_whole else None, _boot())
    _note(part).write_text(json.dumps(asdict(begun)), "utf-8")


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    for path in (part, _note(part)):
        path.unlink(missing_ok=True)


def _boot() -> str:
    with suppress(OSError):
        return _BOOT.read_text("ascii").strip()
    return ""
