"""Which models may form an ensemble: those that were held out of the same ground, and answer the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import ModelRecord, StoredModel, load_model, require_in_service
from inference.models.exchange.importing import MAX_FILE_BYTES
from inference.networks.ensemble_member import ENSEMBLE
from inference.scene_checks import within_tolerance
from inference.segmentation_model import SEGMENTATION


def load_members(conn: Connection[TupleRow], names: Sequence[str]) -> list[StoredModel]:
    """The models with these names, checked, in the order of their names.

    The order in which they are given makes no difference then, to the last bit.

    Raises:
        UsageError: fewer than two, one twice, an unknown or retired one, an ensemble, or models that do not
            go together; see `check_members`.

    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise UsageError(f"member {twice[0]} is named twice: a model counts once in an ensemble")
    if len(names) < 2:
        given = f"got {names[0]} alone" if names else "got none"
        raise UsageError(f"an ensemble needs at least two members, {given}: name others with --member")
    members = [load_model(conn, name) for name in sorted(names)]
    check_members(members)
    return members


def check_members(members: Sequence[StoredModel]) -> None:
    """Refuse models whose mean would be none, or could not be judged.

    Raises:
        UsageError: names the one, or the two, and the reason.

    """
    for one in members:
        _check_one(one.record)
    first = members[0].record
    for one in members[1:]:
        for what, of, advice in _SHARED:
            if of(one.record) != of(first):
                raise UsageError(_differ(first, one.record, what, of, advice))
        if not within_tolerance(one.record.resolution_m, first.resolution_m):
            raise UsageError(_differ(first, one.record, "pixel sizes", _resolution, _ALIKE))
        _check_ground(first, one.record)
    owners: dict[str, str] = {}
    for one in members:
        owner = owners.setdefault(one.sha256, one.record.name)
        if owner != one.record.name:
            raise UsageError(
                f"members {owner} and {one.record.name} are one network: their weights are the same to the "
                "last byte. A model counts once in an ensemble, name one of them"
            )
    size_bytes = sum(len(one.weights) for one in members)
    if size_bytes > MAX_FILE_BYTES:
        raise UsageError(
            f"the weights of the members are together {size_bytes:,} bytes, a model is stored with at most "
            f"{MAX_FILE_BYTES:,}: leave one out, or take members of smaller backbones"
        )


def _check_one(record: ModelRecord) -> None:
    if record.task != SEGMENTATION:
        raise UsageError(f"member {record.name} is for {record.task}, not for {SEGMENTATION}: leave it out")
    require_in_service(record)
    if record.architecture == ENSEMBLE:
        inner = ", ".join(str(one.get("name")) for one in record.options.get("members", []))
        raise UsageError(
            f"member {record.name} is an ensemble itself: name its members instead, {inner}, and their "
            "weights will be fitted together"
        )
    if not isinstance(record.training.get("split"), dict) or not record.training.get("scenes"):
        raise UsageError(
            f"member {record.name} does not say which ground it was trained on, so nobody knows which could "
            "judge it: train it again"
        )
    if "imported" in record.training:
        raise UsageError(
            f"member {record.name} was imported: the ground it was trained on lies in another database. Make "
            "the ensemble there and bring it here with `lode model import`"
        )


def _check_ground(first: ModelRecord, other: ModelRecord) -> None:
    if first.training["split"] != other.training["split"]:
        raise UsageError(
            f"members {first.name} and {other.name} were trained on different splits: what judges the one "
            "was seen by the other, and weights fitted there would trust the one that remembers. Train one "
            "of them again on the other's scenes and labels, with its --block-m and its seed of the split, "
            "or both on one sample set"
        )
    ours, theirs = _scenes(first), _scenes(other)
    if ours.keys() != theirs.keys():
        only = [{**ours, **theirs}[key] for key in sorted(ours.keys() ^ theirs.keys())]
        raise UsageError(
            f"members {first.name} and {other.name} were trained on different scenes, one of them only on "
            f"{', '.join(only)}: their validation pixels are not the same. Train one of them again"
        )


def _scenes(record: ModelRecord) -> dict[int, str]:
    """Product and version of each scene a model was trained on, by key."""
    return {
        int(scene["scene_id"]): f"{scene['product']} (version {scene.get('version', 1)})"
        for scene in record.training["scenes"]
    }


def _resolution(record: ModelRecord) -> str:
    return f"{record.resolution_m:g} m"


_ALIKE = "choose models of scenes that are alike"
_SHARED: tuple[tuple[str, Callable[[ModelRecord], Any], str], ...] = (
    ("outputs", lambda record: list(record.class_codes), "train one of them again"),
    ("mapped classes", lambda record: sorted(record.mapped_codes), "train them on the same labels"),
    ("windows", lambda record: f"{record.tile_px} px", "train one of them again with the other's --tile-px"),
    ("units of the scenes", lambda record: record.training.get("processing_level"), _ALIKE),
)


def _differ(
    first: ModelRecord, other: ModelRecord, what: str, of: Callable[[ModelRecord], Any], advice: str
) -> str:
    return (
        f"members {first.name} and {other.name} have different {what}, {of(first)} and {of(other)}: {advice}"
    )
