"""Trained models of evidence: out of the registry, with the ground they are to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow
from safetensors import SafetensorError
from safetensors.numpy import load

from db.errors import UsageError
from db.evidence import area_by_name, list_layers
from db.registry import ModelRecord, StoredModel, load_model, require_in_service
from inference.evidence.ground import evidence_ground
from inference.evidence.methods import FittedMethod, restore_method
from inference.evidence.scaling import Scale
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import (
    EVIDENCE,
    METHODS,
    PLAIN,
    EvidenceChannel,
    EvidenceGround,
    EvidenceSettings,
    Report,
    silent,
)
from inference.prospect.matching import check_spacing


@dataclass(frozen=True)
class EvidenceModel:
    """A trained method with all its members.

    Attributes:
        model_id, name: key and name in the registry.
        architecture: the method.
        settings: it was trained with.
        system: the mineral system it was trained with, as it was then.
        area: study area it was trained on.
        spacing_m: cell width of that, m.
        channels: inputs, in order, with the scale of training.
        members: seed and fitted method of each, by seed.
        training: facts of the training, as stored.

    """

    model_id: int
    name: str
    architecture: str
    settings: EvidenceSettings
    system: MineralSystem
    area: str
    spacing_m: float
    channels: tuple[EvidenceChannel, ...]
    members: tuple[tuple[int, FittedMethod], ...]
    training: Mapping[str, Any]

    @property
    def layers(self) -> list[str]:
        """Names of the stored layers that it takes."""
        return list(self.training.get("layers") or {})


def load_evidence_model(conn: Connection[TupleRow], name: str, device: torch.device) -> EvidenceModel:
    """The model called ``name`` from the registry, checked, its networks on a device.

    Args:
        conn: connection.
        name: of the model.
        device: where networks compute; other methods use the processor.

    Raises:
        UsageError: no such model, a retired one, another task, weights that fail their checksum, are of
            another form, do not fit or are not finite.

    """
    stored = load_model(conn, name)
    require_in_service(stored.record)
    return ready_evidence_model(stored, device)


def ready_evidence_model(stored: StoredModel, device: torch.device) -> EvidenceModel:
    """What `load_evidence_model` does once the row is read.

    Raises:
        UsageError: see there.

    """
    record = stored.record
    what = f"model {record.name}"
    if record.task != EVIDENCE:
        raise UsageError(
            f"{what} is for {record.task}, not for {EVIDENCE}: choose one of lode train evidence"
        )
    if record.architecture not in METHODS:
        raise UsageError(f"{what} is a {record.architecture}, which this version does not know: upgrade it")
    settings = _settings(record, what)
    channels = _channels(record, what)
    states = _states(stored.weights, what)
    seeds = record.training.get("seeds")
    if not isinstance(seeds, list) or not seeds or set(map(str, seeds)) != set(states):
        raise UsageError(f"the weights of {what} are of other seeds than its record: train it again")
    members = []
    for seed in sorted(map(int, seeds)):
        history = [entry for entry in record.history if entry.get("seed") == seed]
        try:
            method = restore_method(
                settings, channels, states[str(seed)], seed=seed, device=device, history=history
            )
        except UsageError as error:
            raise UsageError(f"{what} cannot be used: {error}") from error
        members.append((seed, method))
    return EvidenceModel(
        model_id=record.model_id,
        name=record.name,
        architecture=record.architecture,
        settings=settings,
        system=MineralSystem.from_json(record.training.get("system") or {}),
        area=str(record.training.get("area", "")),
        spacing_m=record.resolution_m,
        channels=channels,
        members=tuple(members),
        training=record.training,
    )


def model_ground(
    conn: Connection[TupleRow], model: EvidenceModel, area: str, report: Report = silent
) -> EvidenceGround:
    """The evidence of a study area as a model takes it: its channels alone, in the scale of its training.

    On the area of training that is the ground it was trained on, unless layers or maps changed since. Layers
    of other areas are found by their names. A rock that is mapped in none of its cells is no hindrance: it is
    told to be nowhere there, and a rock that the model does not know is none of those it knows.

    Args:
        conn: connection.
        model: the model.
        area: name of the study area.
        report: hears what is particular about the ground.

    Raises:
        UsageError: no such area, layers or maps that lack (each is named), another unit where that matters,
            cells of another size.

    """
    ground = evidence_ground(conn, area, model.system, layers=_layers_there(conn, model, area), report=report)
    if model.settings.is_network:
        check_spacing(ground.grid, model.spacing_m, ground=f"area {area}", model=model.name)
    return matched_ground(ground, model, report)


def matched_ground(ground: EvidenceGround, model: EvidenceModel, report: Report = silent) -> EvidenceGround:
    """What `model_ground` does once the evidence is read.

    Raises:
        UsageError: see there.

    """
    if ground.channels == model.channels:
        return ground
    found = {(channel.kind, channel.name): place for place, channel in enumerate(ground.channels)}
    absent = [channel for channel in model.channels if (channel.kind, channel.name) not in found]
    missing = [channel for channel in absent if _one_hot_known(channel, ground) is None]
    if missing:
        named = ", ".join(f"{channel.name} ({channel.kind})" for channel in missing)
        raise UsageError(
            f"{ground.area} lacks {len(missing)} of {len(model.channels)} channels of model {model.name}: "
            f"{named}. Bring them under these names, or train a model on {ground.area}; "
            + (f"of the area was said: {'; '.join(ground.notes)}" if ground.notes else "nothing was left out")
        )
    values, raw, is_known = [], [], []
    for channel in model.channels:
        place = found.get((channel.kind, channel.name))
        if place is None:
            known = _one_hot_known(channel, ground)
            is_there = np.zeros_like(ground.is_judged) if known is None else known
            values.append(np.zeros(is_there.shape, np.float32))
            raw.append(np.where(is_there, np.float32(0), np.float32(np.nan)))
            is_known.append(is_there)
            continue
        own = ground.channels[place]
        _require_same_unit(own, channel, ground, model)
        is_known.append(ground.is_known[place])
        raw.append(ground.raw[place])
        values.append(_rescaled(ground.values[place], own, channel, ground.is_known[place]))
    notes = _notes(ground, model, absent)
    for note in notes:
        report(note)
    return replace(
        ground,
        channels=model.channels,
        values=np.stack(values),
        raw=np.stack(raw),
        is_known=np.stack(is_known),
        notes=(*ground.notes, *notes),
    )


def _settings(record: ModelRecord, what: str) -> EvidenceSettings:
    known = {each.name for each in fields(EvidenceSettings)}
    given = {key: value for key, value in record.options.items() if key in known}
    try:
        return EvidenceSettings(**{**given, "method": record.architecture})
    except TypeError as error:
        raise UsageError(f"the settings of {what} cannot be read ({error}): train it again") from error


def _channels(record: ModelRecord, what: str) -> tuple[EvidenceChannel, ...]:
    try:
        channels = tuple(EvidenceChannel(**each) for each in record.training["channels"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"{what} does not say what its channels are: train it again") from error
    if [channel.name for channel in channels] != list(record.band_names):
        raise UsageError(f"{what} names its channels in two ways: train it again")
    return channels


def _states(weights: bytes, what: str) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays by name, by the number of the seed."""
    try:
        tensors = load(weights)
    # what the library raises for a type that NumPy lacks
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the weights of {what} are no safetensors file: {str(error)[:200]}") from error
    states: dict[str, dict[str, NDArray[Any]]] = {}
    for key, array in tensors.items():
        head, _dot, name = key.partition(".")
        if not np.isfinite(array).all():
            raise UsageError(f"the weights of {what} hold NaN or Inf in {key}: train it again")
        states.setdefault(head.removeprefix("seed"), {})[name] = array
    return states


def _layers_there(conn: Connection[TupleRow], model: EvidenceModel, area: str) -> Sequence[str] | None:
    """The model's layers that an area has; centred log ratios are taken over these alone."""
    there = {layer.name for layer in list_layers(conn, area_by_name(conn, area))}
    return [name for name in model.layers if name in there] or None


def _one_hot_known(channel: EvidenceChannel, ground: EvidenceGround) -> NDArray[np.bool_] | None:
    """(height, width) where it is known that something is not there; None: nobody mapped such things."""
    if channel.transform != "one_hot":
        return None
    head = channel.name.partition(": ")[0]
    alike = [
        place
        for place, each in enumerate(ground.channels)
        if each.transform == "one_hot" and each.name.partition(": ")[0] == head
    ]
    return np.asarray(ground.is_known[alike].any(axis=0)) if alike else None


def _rescaled(
    values: NDArray[np.float32],
    own: EvidenceChannel,
    wanted: EvidenceChannel,
    is_known: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Values in the scale of training; those beyond the clipping of their own ground stay clipped."""
    transformed = values.astype(np.float64) * own.scale + own.center
    return np.where(is_known, Scale(wanted.center, wanted.scale).apply(transformed), np.float32(0))


def _require_same_unit(
    own: EvidenceChannel, wanted: EvidenceChannel, ground: EvidenceGround, model: EvidenceModel
) -> None:
    """Refuse another unit where values are taken as they are; ratios to the median know no unit.

    Raises:
        UsageError: names both.

    """
    if own.transform != wanted.transform:
        raise UsageError(
            f"{own.name} of {ground.area} is taken as {own.transform}, model {model.name} was trained on "
            f"{wanted.transform}: bring the same layers of geochemistry"
        )
    is_absolute = wanted.transform != "clr" or model.architecture in PLAIN
    units = [None if each.unit is None else each.unit.strip().casefold() for each in (own, wanted)]
    if is_absolute and None not in units and units[0] != units[1]:
        raise UsageError(
            f"{own.name} of {ground.area} is in {own.unit}, model {model.name} was trained on {wanted.unit}: "
            "bring it in that unit"
        )


def _notes(ground: EvidenceGround, model: EvidenceModel, absent: Sequence[EvidenceChannel]) -> list[str]:
    notes = []
    own = {(channel.kind, channel.name): channel for channel in ground.channels}
    is_changed = any(own.get((channel.kind, channel.name)) != channel for channel in model.channels)
    if ground.area == model.area and is_changed:
        notes.append(f"the evidence of {ground.area} changed since {model.name} was trained on it")
    if ground.area != model.area:
        notes.append(
            f"{model.name} was trained on {model.area}: the evidence of {ground.area} is in its scale"
        )
    if absent:
        notes.append(f"mapped nowhere in {ground.area}: {', '.join(channel.name for channel in absent)}")
    known = {(channel.kind, channel.name) for channel in model.channels}
    new = [channel.name for channel in ground.channels if (channel.kind, channel.name) not in known]
    if new:
        notes.append(f"{model.name} does not know, and leaves out: {', '.join(new)}")
    return notes
