"""The evidence of a study area on one scale: stored layers, and what is mapped in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.errors import UsageError
from db.evidence import EvidenceLayer, area_by_name, layers_by_name, read_layer
from db.raster import Grid
from inference.evidence.mapped import distance_name, feature_distance, geology_digest, rock_map
from inference.evidence.mineral_system import MineralSystem
from inference.evidence.scaling import (
    PROXIMITY_M,
    Scale,
    centred_log_ratios,
    is_constant,
    positive_contents,
    robust_scale,
)
from inference.evidence.types import EvidenceChannel, EvidenceGround, Report, silent
from inference.prospect.contents import GEOCHEMISTRY
from inference.prospect.grids import cells_inside, require_metres

MOST_CODES = 40
"""A layer of geology with more whole numbers than this holds amounts, not codes."""

_LEAST_CODES = 3
"""Two numbers tell of one thing, which is there or not: one channel holds that."""

OVERLAPS_NONE = "is left out: it overlaps no other layer of geochemistry, to which its ratio could be taken"
"""Said of a layer that is known where no other is."""

_UNSCALED = Scale(0.0, 1.0)


@dataclass
class _Candidate:
    """A channel before it is scaled; arrays are (height, width), NaN where nothing is known."""

    name: str
    kind: str
    raw: NDArray[np.float32]
    values: NDArray[np.floating]
    transform: str = "none"
    element: str | None = None
    unit: str | None = None
    is_stored: bool = True


def evidence_ground(
    conn: Connection[Any],
    area: str,
    system: MineralSystem,
    *,
    layers: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    geology: bool = True,
    report: Report = silent,
) -> EvidenceGround:
    """Take the evidence of a study area, and bring it to a common scale.

    Contents become centred log ratios over the layers of geochemistry, or logarithms where there is one such
    layer only. Distances d to mapped faults, plutons, and what the rules of the system are about, become
    log(1 + d / 1 km). All of that, and other layers as they are, is then scaled by median and median absolute
    deviation over judged ground, see `scaling`. Mapped rocks, and layers of geology that hold codes, become a
    channel of 0 and 1 for each. What holds no value, or one only, is left out.

    Args:
        conn: connection.
        area: name of the study area.
        system: its rules choose the features to which distances are measured.
        layers: names of stored layers; None: all.
        leave_out: names of channels or stored layers that are not taken.
        geology: whether mapped geology is taken.
        report: hears what was left out or changed, and why.

    Raises:
        UsageError: no such area or layer, no layers, the grid is not in metres, a feature cannot be
            transformed to its CRS.

    """
    found = area_by_name(conn, area)
    require_metres(found.grid, f"area {area}")
    chosen = layers_by_name(conn, found, None if layers is None else list(dict.fromkeys(layers)))
    is_judged = cells_inside(found.geometry, found.grid)
    notes: list[str] = []
    candidates = _stored_channels(conn, chosen, set(leave_out), is_judged, notes)
    digests: dict[str, tuple[str, ...]] = {}
    if geology:
        made = _mapped_channels(conn, found.grid, system, is_judged, notes, digests)
        candidates += _without_doubles(made, candidates, set(leave_out), notes)
    known = {layer.name for layer in chosen} | {each.name for each in candidates} | set(digests)
    unknown = [name for name in leave_out if name not in known]
    if unknown:
        raise UsageError(
            f"area {area} has no {', '.join(map(repr, unknown))} to leave out; there are: "
            + ", ".join(sorted(known))
        )
    channels, values, raw = _scaled(candidates, is_judged, notes)
    for note in notes:
        report(note)
    names = {channel.name for channel in channels}
    used = {
        layer.name: layer.evidence_layer_id
        for layer in chosen
        if any(name == layer.name or name.startswith(f"{layer.name}: ") for name in names)
    }
    left = {name: each for name, each in digests.items() if name in names or name == "lithology"}
    return EvidenceGround(
        area=area,
        evidence_area_id=found.evidence_area_id,
        grid=found.grid,
        channels=channels,
        values=values,
        raw=raw,
        is_known=np.isfinite(raw),
        is_judged=is_judged,
        layer_ids=used,
        geology_digest=geology_digest(found.grid, left),
        notes=tuple(notes),
    )


def _stored_channels(
    conn: Connection[Any],
    layers: Sequence[EvidenceLayer],
    leave_out: set[str],
    is_judged: NDArray[np.bool_],
    notes: list[str],
) -> list[_Candidate]:
    candidates: list[_Candidate] = []
    contents: list[_Candidate] = []
    for layer in layers:
        if layer.name in leave_out:
            continue
        stored = read_layer(conn, layer)
        raw = np.where(is_judged & np.isfinite(stored), stored, np.float32(np.nan))
        held = raw[np.isfinite(raw)]
        if not held.size or is_constant(held):
            why = f"it has the value {held[0]:g} everywhere" if held.size else "it holds no value"
            notes.append(f"layer {layer.name} is left out: {why} on judged ground")
        elif layer.kind == GEOCHEMISTRY:
            contents += _content(layer, raw, is_judged, notes)
        elif layer.kind == "geology" and _is_coded(layer, held):
            candidates += [
                _Candidate(f"{layer.name}: {code:g}", "geology", each, each, "one_hot")
                for code in np.unique(held)
                for each in [np.where(np.isfinite(raw), raw == code, np.nan).astype(np.float32)]
            ]
        else:
            candidates.append(
                _Candidate(layer.name, layer.kind, raw, raw, element=layer.element, unit=layer.unit)
            )
    return _log_ratios(contents, notes) + candidates


def _content(
    layer: EvidenceLayer, raw: NDArray[np.float32], is_judged: NDArray[np.bool_], notes: list[str]
) -> list[_Candidate]:
    """A layer of contents with its logarithms; nothing where it holds none above 0."""
    positive, raised, least = positive_contents(raw, is_judged)
    if least is None:
        notes.append(f"layer {layer.name} is left out: no content is above 0, so that none has a logarithm")
        return []
    if raised:
        unit = "" if layer.unit is None else f" {layer.unit}"
        notes.append(
            f"layer {layer.name}: {raised} of {int(np.isfinite(positive).sum())} contents are 0 or less; "
            f"they count as {least:g}{unit}, half the smallest above 0"
        )
    return [_Candidate(layer.name, GEOCHEMISTRY, raw, np.log(positive), "log", layer.element, layer.unit)]


def _log_ratios(contents: list[_Candidate], notes: list[str]) -> list[_Candidate]:
    """The same with centred log ratios, where there is more than one."""
    if len(contents) == 1:
        notes.append(
            f"{contents[0].name} is the only layer of geochemistry: its logarithm is taken, for there is no "
            "other to set it against"
        )
    if len(contents) < 2:
        return contents
    ratios = centred_log_ratios(np.stack([each.values for each in contents]))
    alone = np.zeros(ratios.shape[1:], bool)
    for each, ratio in zip(contents, ratios, strict=True):
        is_known = np.isfinite(ratio)
        if not is_known.any():
            notes.append(f"layer {each.name} {OVERLAPS_NONE}")
            continue
        alone |= np.isfinite(each.values) & ~is_known
        each.values, each.transform = ratio, "clr"
        each.raw[~is_known] = np.nan
    if alone.any():
        notes.append(
            f"{int(alone.sum())} cells hold the content of one element only, which has no ratio to others: "
            "their geochemistry counts as not known"
        )
    return [each for each in contents if each.transform == "clr"]


def _is_coded(layer: EvidenceLayer, held: NDArray[np.float32]) -> bool:
    """Whether a layer of geology holds codes, as of rocks: few whole numbers that nothing was mixed of."""
    if layer.resampling not in ("nearest", "none") or (held != np.round(held)).any():
        return False
    return _LEAST_CODES <= len(np.unique(held)) <= MOST_CODES


def _mapped_channels(
    conn: Connection[Any],
    grid: Grid,
    system: MineralSystem,
    is_judged: NDArray[np.bool_],
    notes: list[str],
    digests: dict[str, tuple[str, ...]],
) -> list[_Candidate]:
    """Distances and rocks; ``digests`` is filled with those of their features by name of the channel."""
    made: list[_Candidate] = []
    wanted: list[tuple[str, tuple[str, ...]]] = [("fault", ()), ("pluton", ())]
    wanted += [
        (rule.feature, rule.match) for rule in system.geology if rule.match and rule.feature != "layer"
    ]
    for feature, words in dict.fromkeys(wanted):
        distance = feature_distance(conn, grid, feature, words)
        if distance is None:
            if not words:
                notes.append(f"no {feature}s are mapped near: there is no {distance_name(feature)}")
            continue
        if words and distance.digests == digests.get(distance_name(feature)):
            continue  # all of them hold the words: the channel is there
        digests[distance.name] = distance.digests
        raw = np.where(is_judged, distance.distance_m, np.float32(np.nan))
        values = np.log1p(raw / PROXIMITY_M)
        made.append(_Candidate(distance.name, "geology", raw, values, "log1p_km", unit="m", is_stored=False))
    rocks = rock_map(conn, grid, is_judged)
    if rocks is None:
        notes.append(
            "no rocks are mapped here: there is no lithology (bring it with `lode ingest lithology`)"
        )
        return made
    digests["lithology"] = rocks.digests
    for code, rock in enumerate(rocks.names):
        # what nobody mapped is not known, and not none of the rocks
        raw = np.where(is_judged & (rocks.codes >= 0), rocks.codes == code, np.nan).astype(np.float32)
        made.append(_Candidate(f"lithology: {rock}", "geology", raw, raw, "one_hot", is_stored=False))
    return made


def _without_doubles(
    made: list[_Candidate], stored: list[_Candidate], leave_out: set[str], notes: list[str]
) -> list[_Candidate]:
    """Channels of mapped geology that are wanted and whose name no stored layer has."""
    taken = {each.name for each in stored}
    notes += [
        f"the stored layer {each.name} is taken, and not the mapped geology of that name"
        for each in made
        if each.name in taken
    ]
    return [each for each in made if each.name not in taken | leave_out]


def _scaled(
    candidates: list[_Candidate], is_judged: NDArray[np.bool_], notes: list[str]
) -> tuple[tuple[EvidenceChannel, ...], NDArray[np.float32], NDArray[np.float32]]:
    """Channels by kind and name, with their values and what is stored, (channels, height, width) both."""
    channels, values, raw = [], [], []
    for each in sorted(candidates, key=lambda each: (each.kind, each.name)):
        held = each.values[np.isfinite(each.values)]
        scale = robust_scale(held)
        if scale is None:
            why = f"it is {held[0]:g} everywhere" if held.size else "nothing is known of it"
            notes.append(f"{each.name} is left out: {why} on judged ground")
            continue
        if each.transform == "one_hot":
            scale = _UNSCALED
        channels.append(
            EvidenceChannel(
                each.name,
                each.kind,
                each.element,
                each.unit,
                each.transform,
                scale.center,
                scale.scale,
                each.is_stored,
            )
        )
        values.append(np.nan_to_num(scale.apply(each.values), nan=0.0))
        raw.append(each.raw)
    shape = (len(channels), *is_judged.shape)
    if not channels:
        return (), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    return tuple(channels), np.stack(values), np.stack(raw)
