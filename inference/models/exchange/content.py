"""A model's row as the content of an exported file, and back."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version
from typing import Any

from db.errors import UsageError
from db.registry import ModelRecord, NewModel
from inference.models.exchange.archive import FORMAT
from inference.models.exchange.checking import checked
from inference.models.exchange.consistency import DIGEST, check_figures, check_prospect_figures, digest_of
from inference.models.exchange.schema import SceneFacts
from inference.prospect.settings import PROSPECT


def content_of(record: ModelRecord, scenes: Sequence[SceneFacts], weights_sha256: str) -> dict[str, Any]:
    """What goes into the header of an exported file.

    Args:
        record: the model.
        scenes: what it was trained on.
        weights_sha256: of the weights without the record.

    """
    columns = {name: value for name, value in vars(record).items() if name != "model_id"}
    for name in ("trained_at", "retired_at"):
        columns[name] = None if columns[name] is None else columns[name].isoformat()
    content = {
        "format": FORMAT,
        "lode": version("lode"),
        "weights_sha256": weights_sha256,
        "record": columns,
        "scenes": [scene.model_dump(exclude_none=True) for scene in scenes],
    }
    return {**content, DIGEST: digest_of(content)}


def model_from(content: Any, weights: bytes, what: str, *, name: str | None, weights_sha256: str) -> NewModel:
    """The model that an exported file describes, as it will be stored.

    When and as what it was imported, and the scenes it was trained on, stand under ``training["imported"]``:
    the scenes' keys are those of another database. Everything else is as it was, the day of training too.

    Args:
        content: from `archive.without_record`.
        weights: the weights.
        what: name of the file, for messages.
        name: another name for the model; None: its own.
        weights_sha256: of ``weights``.

    Raises:
        UsageError: another format, a key missing or of another kind than it should be, weights that are not
            those the record was written with, a record that was changed since, figures that do not agree.

    """
    _check_format(content, what)
    found = checked(content, what)
    if found.weights_sha256 != weights_sha256:
        raise UsageError(
            f"{what} is damaged: the SHA-256 of its weights is {weights_sha256}, the record says "
            f"{found.weights_sha256}; bring it again"
        )
    if content.get(DIGEST) != digest_of(content):
        raise UsageError(
            f"the record in {what} was changed since the model was exported: its SHA-256 is another; bring "
            "the exported file itself"
        )
    columns: dict[str, Any] = dict(content["record"])
    is_of_ore = columns["task"] == PROSPECT
    (check_prospect_figures if is_of_ore else check_figures)(columns["metrics"], what)
    known = {each.name for each in fields(NewModel)}
    columns = {key: value for key, value in columns.items() if key in known}
    for moment in ("trained_at", "retired_at"):
        if columns[moment] is not None:
            columns[moment] = datetime.datetime.fromisoformat(columns[moment])
    for codes in ("class_codes", "mapped_codes", "band_names"):
        columns[codes] = tuple(columns[codes])
    imported = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "name": columns["name"],
        "lode": str(content.get("lode")),
        "scenes": [scene.model_dump(exclude_none=True) for scene in found.scenes],
    }
    columns["training"] = {**columns["training"], "imported": imported}
    if is_of_ore:  # the key of a set in another database
        columns["training"].pop("prospect_set_id", None)
    columns["name"] = columns["name"] if name is None else name
    return NewModel(**columns, weights=weights)


def facts_from(stored: Mapping[str, Any]) -> list[SceneFacts] | None:
    """The scenes under ``training["imported"]``; None for a model that was trained here."""
    imported = stored.get("imported")
    if not isinstance(imported, dict):
        return None
    return [SceneFacts.model_validate(each) for each in imported.get("scenes", [])]


def _check_format(content: Any, what: str) -> None:
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int:
        raise UsageError(f"the record in {what} is no model's: it does not say its format")
    if found != FORMAT:
        raise UsageError(
            f"{what} has format {found}, this version of Lode reads {FORMAT}: "
            + ("use a newer Lode" if found > FORMAT else "export the model again")
        )
