"""The registry of trained networks: all SQL about models and their weights."""

from __future__ import annotations

import datetime
import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Jsonb

from db.errors import UsageError

EVIDENCE = "evidence"
"""Task of models that look for ore without labels, see `lode train evidence`."""

NAME_BYTES = 200
REASON_BYTES = 1000


@dataclass(frozen=True)
class ModelRecord:
    """A row of ``lode.model``: a trained network without its weights; see the table for the columns."""

    model_id: int
    name: str
    task: str
    architecture: str
    options: dict[str, Any]
    class_codes: list[int]
    mapped_codes: list[int]
    band_names: list[str]
    resolution_m: float
    tile_px: int
    normalisation: dict[str, Any]
    training: dict[str, Any]
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    versions: dict[str, str]
    trained_at: datetime.datetime
    temperature: float
    licence: str | None
    retired_at: datetime.datetime | None
    retired_reason: str | None


@dataclass(frozen=True)
class StoredModel:
    """A model with its weights (a safetensors file) and their SHA-256, which was verified."""

    record: ModelRecord
    weights: bytes
    sha256: str


@dataclass(frozen=True)
class NewModel:
    """What `store_model` stores; attributes as in ``lode.model``.

    ``trained_at``: None for now, which is the end of a training; a model from elsewhere brings its own.
    """

    name: str
    task: str
    architecture: str
    options: Mapping[str, Any]
    class_codes: tuple[int, ...]
    mapped_codes: tuple[int, ...]
    band_names: tuple[str, ...]
    resolution_m: float
    tile_px: int
    normalisation: Mapping[str, Any]
    training: Mapping[str, Any]
    history: list[dict[str, Any]]
    metrics: Mapping[str, Any]
    versions: Mapping[str, str]
    weights: bytes
    temperature: float = 1.0
    licence: str | None = None
    trained_at: datetime.datetime | None = None
    retired_at: datetime.datetime | None = None
    retired_reason: str | None = None


def is_name(name: str) -> bool:
    """Whether a model or a sample set may be called so: it must look like itself wherever it is listed."""
    is_plain = name.isprintable() and 0 < len(name.encode(errors="replace")) <= NAME_BYTES
    return is_plain and name == name.strip() and not name.startswith("-")


def require_free_name(conn: psycopg.Connection[TupleRow], name: str) -> None:
    """Check that a model may be called ``name``.

    Raises:
        UsageError: empty, too long, not printable, or taken.

    """
    if not is_name(name):
        raise UsageError(
            f"model name {name!r}: give 1 to {NAME_BYTES} bytes of printable characters, without spaces at "
            "the ends or a dash at the beginning"
        )
    row = conn.execute("select trained_at from lode.model where name = %s", (name,)).fetchone()
    if row is not None:
        raise UsageError(_taken(name, row[0]))


def store_model(conn: psycopg.Connection[TupleRow], model: NewModel) -> int:
    """Insert a model and its weights in the caller's transaction; returns model_id.

    Raises:
        UsageError: the name is taken.

    """
    try:
        with conn.transaction():
            row = conn.execute(
                """
                insert into lode.model (name, task, architecture, options, class_codes, mapped_codes,
                  band_names, resolution_m, tile_px, normalisation, training, history, metrics, versions,
                  temperature, licence, trained_at, retired_at, retired_reason)
                values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,
                  coalesce(%s, now()), %s, %s)
                returning model_id
                """,
                (
                    model.name,
                    model.task,
                    model.architecture,
                    Jsonb(dict(model.options)),
                    list(model.class_codes),
                    list(model.mapped_codes),
                    list(model.band_names),
                    model.resolution_m,
                    model.tile_px,
                    Jsonb(dict(model.normalisation)),
                    Jsonb(dict(model.training)),
                    Jsonb(model.history),
                    Jsonb(dict(model.metrics)),
                    Jsonb(dict(model.versions)),
                    model.temperature,
                    model.licence,
                    model.trained_at,
                    model.retired_at,
                    model.retired_reason,
                ),
            ).fetchone()
            if row is None:
                raise RuntimeError("insert into lode.model returned no key")
            model_id = int(row[0])
            conn.execute(
                "insert into lode.model_weights (model_id, sha256, weights) values (%s, %s, %s)",
                (model_id, hashlib.sha256(model.weights).hexdigest(), model.weights),
            )
    except errors.UniqueViolation as error:
        raise UsageError(_taken(model.name, None)) from error
    return model_id


def list_models(conn: psycopg.Connection[TupleRow]) -> list[ModelRecord]:
    """All models, by name."""
    with conn.cursor(row_factory=class_row(ModelRecord)) as cursor:
        return cursor.execute(_SELECT + " order by name").fetchall()


def model_by_name(conn: psycopg.Connection[TupleRow], name: str) -> ModelRecord:
    """The model called ``name``.

    Raises:
        UsageError: there is none; lists those there are.

    """
    with conn.cursor(row_factory=class_row(ModelRecord)) as cursor:
        record = cursor.execute(_SELECT + " where name = %s", (name,)).fetchone()
    if record is not None:
        return record
    names = [row[0] for row in conn.execute("select name from lode.model order by name")]
    known = "there are " + ", ".join(names) if names else "there is none yet, see lode train"
    raise UsageError(f"no model is called {name!r}: {known}")


def model_by_id(conn: psycopg.Connection[TupleRow], model_id: int) -> ModelRecord:
    """The model with this key.

    Raises:
        UsageError: there is none.

    """
    with conn.cursor(row_factory=class_row(ModelRecord)) as cursor:
        record = cursor.execute(_SELECT + " where model_id = %s", (model_id,)).fetchone()
    if record is None:
        raise UsageError(f"there is no model {model_id}; `lode model list` shows those there are")
    return record


def weights_sha256(conn: psycopg.Connection[TupleRow], model_id: int) -> str | None:
    """SHA-256 of a model's weights as recorded; None when it has none."""
    row = conn.execute("select sha256 from lode.model_weights where model_id = %s", (model_id,)).fetchone()
    return None if row is None else str(row[0])


def load_model(conn: psycopg.Connection[TupleRow], name: str) -> StoredModel:
    """The model called ``name`` with its weights.

    Raises:
        UsageError: there is none, its weights are missing or differ from their SHA-256.

    """
    record = model_by_name(conn, name)
    row = conn.execute(
        "select sha256, weights from lode.model_weights where model_id = %s", (record.model_id,), binary=True
    ).fetchone()
    if row is None:
        raise UsageError(f"model {name} has no weights in lode.model_weights: train it again")
    sha256, weights = str(row[0]), bytes(row[1])
    found = hashlib.sha256(weights).hexdigest()
    if found != sha256:
        raise UsageError(
            f"the weights of model {name} are damaged: their SHA-256 is {found}, recorded is {sha256}; "
            "restore them from a backup or train it again"
        )
    return StoredModel(record, weights, sha256)


def count_published_runs(conn: psycopg.Connection[TupleRow]) -> dict[int, int]:
    """Runs and searches for ore published with each model, by model_id; models without any are left out."""
    rows = conn.execute(
        """
        select model_id, count(*)
        from (
          select model_id from lode.run where status = 'published'
          union all
          select model_id from lode.prospect_run where withdrawn_at is null
        ) as published
        group by model_id
        """
    ).fetchall()
    return {int(model_id): int(count) for model_id, count in rows}


def retire_model(conn: psycopg.Connection[TupleRow], name: str, reason: str) -> ModelRecord:
    """Take a model out of service, in the caller's transaction; runs and polygons stay as they are.

    The reason is kept with the database user who gave it.

    Args:
        conn: connection.
        name: of the model.
        reason: why, on one line.

    Raises:
        UsageError: no such model, retired already, no reason or one that is not a line of text.

    """
    said = reason.strip()
    if not said or len(said.encode()) > REASON_BYTES or not said.isprintable():
        raise UsageError(
            f"reason {reason!r}: give 1 to {REASON_BYTES} bytes of printable characters on one line, so that "
            "whoever meets the retired model learns why"
        )
    changed = conn.execute(
        "update lode.model set retired_at = now(), retired_reason = %s || ' (' || session_user || ')'"
        " where name = %s and retired_at is null",
        (said, name),
    ).rowcount
    record = model_by_name(conn, name)
    if not changed:
        raise UsageError(
            f"{retirement_of(record)} already: bring it back first with `lode model retire --undo`, "
            "if another reason is to be recorded"
        )
    return record


def reinstate_model(conn: psycopg.Connection[TupleRow], name: str) -> ModelRecord:
    """Bring a retired model back into service, in the caller's transaction.

    Raises:
        UsageError: no such model, or it is in service.

    """
    changed = conn.execute(
        "update lode.model set retired_at = null, retired_reason = null"
        " where name = %s and retired_at is not null",
        (name,),
    ).rowcount
    record = model_by_name(conn, name)
    if not changed:
        raise UsageError(f"model {name} is in service: there is no retirement to undo")
    return record


def require_in_service(record: ModelRecord) -> None:
    """Refuse a retired model.

    Raises:
        UsageError: it is retired; says since when, why, and how it comes back.

    """
    if record.retired_at is not None:
        raise UsageError(
            f"{retirement_of(record)}: choose another model (`lode model list`), or bring it back with "
            f"`lode model retire --undo {shlex.quote(record.name)}`"
        )


def retirement_of(record: ModelRecord) -> str:
    """Since when and why a retired model is so, as the beginning of a sentence."""
    since = "" if record.retired_at is None else f" on {record.retired_at:%Y-%m-%d %H:%M}"
    why = "no reason was recorded" if record.retired_reason is None else record.retired_reason
    return f"model {record.name} was retired{since} ({why})"


_SELECT = """
    select model_id, name, task, architecture, options, class_codes, mapped_codes, band_names,
      resolution_m, tile_px, normalisation, training, history, metrics, versions, trained_at,
      temperature, licence, retired_at, retired_reason
    from lode.model
"""


def _taken(name: str, trained_at: datetime.datetime | None) -> str:
    when = "" if trained_at is None else f" (trained {trained_at:%Y-%m-%d %H:%M})"
    return f"a model called {name!r} exists{when}: choose another name; runs refer to it, so none is replaced"
