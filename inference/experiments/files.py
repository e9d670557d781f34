"""Files of an experiment: written whole or not at all, by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from db.errors import UsageError


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let a function write a file under another name, which becomes the file once it is safely on the disk.

    Args:
        path: of the file; the other name has the same ending.
        write: writes to the path it is given.

    Raises:
        UsageError: the disk is full or the folder cannot be written to; an older file stays as it was.

    """
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(
            f"{path} could not be written: {error.strerror or error}. What was trained is kept: make room or "
            "choose another folder with --out, then give the same command again"
        ) from error
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a text file whole, UTF-8."""
    return write_whole(path, lambda part: part.write_bytes(text.encode()))


def made_folder(folder: Path) -> Path:
    """The folder, made where it is missing, after trying that one can write there.

    Raises:
        UsageError: one cannot.

    """
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"folder {folder} cannot be written to: {error.strerror or error}; choose another with --out"
        ) from error
    return folder


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder for this process until the block is left, or the process dies.

    Raises:
        UsageError: another process works there.

    """
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another process works on the experiment in {folder}: wait for it, or choose another --out"
            ) from error
        yield
    finally:
        os.close(handle)
