"""`lode model export`: a model becomes a folder with its weights and its card."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import load_model
from inference.evidence.types import EVIDENCE
from inference.models.exchange.archive import is_plain, sha256_of, with_record, without_record
from inference.models.exchange.card import model_card
from inference.models.exchange.content import content_of, model_from
from inference.models.exchange.names import CARD_NAME, PARTIAL, WEIGHTS_NAME
from inference.models.exchange.plain_weights import is_plain_model, wrapped
from inference.models.exchange.prospect_card import prospect_card
from inference.models.exchange.scenes import scene_facts
from inference.prospect.settings import PROSPECT


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        size_bytes: of the weights with the record.
        sha256: of the same.
        licence: the terms stated; None: none.

    """

    folder: Path
    size_bytes: int
    sha256: str
    licence: str | None


def export_model(conn: Connection[TupleRow], name: str, folder: Path, licence: str | None = None) -> Exported:
    """Write a model and its card into a new folder.

    Everything is written into a hidden folder beside it that ends in ``.partial``, and renamed when it is on
    the disk: after a kill or a full disk there is either the whole model or none.

    Args:
        conn: connection.
        name: of the model.
        folder: to be made; its parent must exist.
        licence: terms to state instead of the stored ones; None: these.

    Raises:
        UsageError: no such model, one of `lode train evidence`, damaged weights, the folder exists or cannot
            be written.

    """
    _require_free(folder)
    if licence is not None and (not licence.strip() or not is_plain(licence)):
        raise UsageError(f"licence {licence!r}: name the terms in printable characters, or leave it out")
    stored = load_model(conn, name)
    if stored.record.task == EVIDENCE:
        raise UsageError(
            f"model {name} is of lode train evidence: it knows the ground it was trained on and is not "
            "exported; hand on the layers and the system (`lode system export`), and train it there"
        )
    record = stored.record if licence is None else replace(stored.record, licence=licence.strip())
    scenes = scene_facts(conn, record)
    has_skops = is_plain_model(record.task, record.architecture)
    carried = wrapped(stored.weights) if has_skops else stored.weights
    # the weights as they will be read back, so that the digest is theirs whatever wrote the stored header
    _content, weights, _header = without_record(with_record(carried, {}), f"model {name}")
    digest = sha256_of(weights)
    file = with_record(carried, content_of(record, scenes, digest))
    _require_readable(file, name, digest)
    kept = stored.sha256 if has_skops else digest
    if record.task == PROSPECT:
        card = prospect_card(record, sha256_of(file), kept)
    else:
        card = model_card(record, scenes, sha256_of(file), kept)
    _write(folder, {WEIGHTS_NAME: file, CARD_NAME: card.encode()})
    return Exported(folder, len(file), sha256_of(file), record.licence)


def _require_free(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists: name a new folder, an exported model is never overwritten")
    if not folder.name or not folder.parent.is_dir():
        raise UsageError(f"{folder.parent} is no folder: make it first, or export to another place")


def _require_readable(file: bytes, name: str, digest: str) -> None:
    """Refuse to write what `lode model import` would not take: better now than when the database is gone."""
    try:
        content, weights, _header = without_record(file, "it")
        model_from(content, weights, "it", name=None, weights_sha256=digest)
    except UsageError as error:
        raise UsageError(f"model {name} could not be imported again: {error}") from error


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a new folder, all or none."""
    partial = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name[:100]}-", suffix=PARTIAL, dir=folder.parent))
        partial.chmod(0o755)
        for name, content in files.items():
            with (partial / f"{name}{PARTIAL}").open("xb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
        for name in files:
            (partial / f"{name}{PARTIAL}").rename(partial / name)
        _sync(partial)
        _require_free(folder)
        partial.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise UsageError(
            f"the model could not be written to {folder} ({error.strerror}): nothing is left of it. "
            + ("Free some space there, or export" if is_full else "Export")
            + " to another place"
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Have the system write the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
