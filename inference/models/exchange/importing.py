"""`lode model import`: a file from elsewhere becomes a model, after everything about it was checked."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import ModelRecord, model_by_name, require_free_name, store_model
from inference.models.exchange.archive import sha256_of, without_record
from inference.models.exchange.content import model_from
from inference.models.exchange.names import PARTIAL, WEIGHTS_NAME
from inference.models.exchange.plain_weights import is_plain_model, unwrapped
from inference.models.exchange.prospect_trial import check_prospect
from inference.models.exchange.trial import check_network
from inference.prospect.settings import PROSPECT

MAX_FILE_BYTES = 1_000_000_000
"""A value in PostgreSQL holds 1 GiB at most, and the weights are one."""


def import_model(conn: Connection[TupleRow], path: Path, name: str | None = None) -> ModelRecord:
    """Store an exported model, in the caller's transaction.

    The model card is not read: what counts is in the weights' own file. A model that was exported retired
    comes in retired. Figures cannot be checked without the data, so they are as they were told.

    Args:
        conn: connection.
        path: folder from `lode model export`, or the safetensors file in it.
        name: for the model; None: the one it had.

    Returns:
        The model as stored.

    Raises:
        UsageError: no such file, no exported model, a damaged one, one that this version cannot build, the
            name is taken. Nothing is stored then.

    """
    file = read_file(path)
    what = str(path)
    content, weights, header = without_record(file, what)
    del file
    digest = sha256_of(weights)
    new = model_from(content, weights, what, name=name, weights_sha256=digest)
    require_free_name(conn, new.name)
    if is_plain_model(new.task, new.architecture):
        new = replace(new, weights=unwrapped(weights, what))
    (check_prospect if new.task == PROSPECT else check_network)(new, header, digest, what)
    store_model(conn, new)
    return model_by_name(conn, new.name)


def read_file(path: Path) -> bytes:
    """The content of an exported model's file.

    Raises:
        UsageError: there is none, it is a link, no plain file or too large, or cannot be read.

    """
    if path.name.endswith(PARTIAL) or path.parent.name.endswith(PARTIAL):
        raise UsageError(f"{path} is what an interrupted export left behind: export the model again")
    file = path / WEIGHTS_NAME if path.is_dir() else path
    try:
        # a link could lead anywhere; a pipe would be waited for
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if file.is_symlink():
            raise UsageError(f"{file} is a link: give the file it leads to") from error
        raise UsageError(f"{file} cannot be read ({error.strerror}): give an exported model") from error
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{file} is no plain file: give an exported model")
        if found.st_size > MAX_FILE_BYTES:
            raise UsageError(
                f"{file} has {found.st_size:,} bytes, at most {MAX_FILE_BYTES:,} are taken: the database "
                "holds no larger weights"
            )
        return opened.read(MAX_FILE_BYTES)
