"""The ground that a network searches: a scene or a study area, as the channels that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.errors import UsageError
from db.evidence import EvidenceLayer, area_by_name, list_layers
from db.raster import Grid
from db.scene_bands import scene_bands
from db.scenes import Scene, SceneBand, scene_by_product
from inference.geology.rasters import GeologySettings
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.contents import log_notes, to_log10
from inference.prospect.grids import require_metres
from inference.prospect.ground import Ground, ground_of_channels
from inference.prospect.matching import (
    EvidenceFacts,
    Match,
    check_level,
    check_spacing,
    match_bands,
    match_layers,
    matched_values,
)
from inference.prospect.relative import make_relative
from inference.prospect.spectral import (
    Evidence,
    absorption_depths,
    absorption_evidence,
    channels_of_absorptions,
    layer_evidence,
)
from inference.prospect.trained import ProspectModel

Report = Callable[[str], None]


@dataclass(frozen=True)
class Origin:
    """What a network says of the ground it was trained on, beside its channels.

    Attributes:
        processing_level: of the scene; None: it was a study area.
        geology: settings of proximity and density.
        evidence: what each layer of evidence held, by name, as far as known.

    """

    processing_level: str | None
    geology: GeologySettings
    evidence: Mapping[str, EvidenceFacts]

    @classmethod
    def of(cls, training: Mapping[str, Any]) -> Origin:
        """What is stored of a training."""
        said = training.get("geology") or {}
        default = GeologySettings()
        evidence = {
            name: EvidenceFacts(element=element)  # models of before knew no more
            for name, element in (training.get("elements") or {}).items()
        } | {name: EvidenceFacts.from_json(held) for name, held in (training.get("evidence") or {}).items()}
        return cls(
            training.get("processing_level"),
            GeologySettings(
                proximity_m=float(said.get("proximity_m", default.proximity_m)),
                density_radius_m=float(said.get("density_radius_m", default.density_radius_m)),
            ),
            evidence,
        )


@dataclass(frozen=True)
class MatchedGround:
    """Ground as a network takes it.

    Attributes:
        name: product of the scene, or name of the study area.
        scene_id, evidence_area_id: its key; one of them is None.
        grid: in metres.
        matches: what each channel of the network was made of.
        values: ``(channels of the network, height, width)`` float32, NaN: no value.
        is_valid: ``(height, width)`` cells that are judged and have all values.
        geology_digest: content of the geology rasters; None without them.
        layer_ids: keys of the layers of evidence that were taken.
        evidence: takes ``(height, width)`` ranks of the targets that pixels belong to, 0: none; gives what
            speaks for each target.

    """

    name: str
    scene_id: int | None
    evidence_area_id: int | None
    grid: Grid
    matches: tuple[Match, ...]
    values: NDArray[np.float32]
    is_valid: NDArray[np.bool_]
    geology_digest: str | None
    layer_ids: tuple[int, ...]
    evidence: Callable[[NDArray[np.int32]], list[Evidence]]


def matched_scene(
    conn: Connection[Any], product: str, model: ProspectModel, origin: Origin, report: Report
) -> MatchedGround:
    """A scene as a network takes it.

    Args:
        conn: connection; geology rasters that were not there yet are stored, the caller commits.
        product: the scene; its version that counts.
        model: the network.
        origin: where it was trained.
        report: hears of the progress.

    Raises:
        UsageError: no such scene, another level or spacing than in training, not in metres, too small for a
            patch, wavelengths are missing, no geology, nothing is judged.

    """
    scene = scene_by_product(conn, product)
    what = f"scene {product}"
    _refuse_kind(model, "evidence", f"{what} has none: name a study area with --area")
    _check_grid(scene.grid, what, model)
    check_level(scene.processing_level, origin.processing_level, scene=product, model=model.name)
    spectral = [channel for channel in model.channels if channel.kind == "spectral"]
    bands = scene_bands(conn, scene)
    without: frozenset[str] = frozenset()
    while True:
        matches = match_bands(spectral, bands, scene=product, model=model.name, without=without)
        ground = _read_scene(conn, scene, bands, matches, model, origin, report)
        empty = _without_values(ground) & {name for match in matches for name in match.sources}
        if not empty or not ground.is_judged.any():  # the latter is refused below, by its own name
            break
        report(f"{what}: no values in {', '.join(sorted(empty))}, matching without")
        without |= empty
    depths = {}
    if scene.processing_level.endswith(
        "reflectance"
    ):  # else the sun and the air have absorptions of their own
        depths = absorption_depths(ground.channels, ground.values, ground.is_judged)
    return _matched(
        ground, _all_matches(model, matches), model, lambda owner: absorption_evidence(depths, owner)
    )


def matched_area(
    conn: Connection[Any], name: str, model: ProspectModel, origin: Origin, report: Report
) -> MatchedGround:
    """A study area as a network takes it; arguments and errors as of `matched_scene`."""
    area = area_by_name(conn, name)
    what = f"study area {name}"
    _refuse_kind(model, "spectral", f"{what} has none: name a scene with --scene")
    _check_grid(area.grid, what, model)
    wanted = [channel for channel in model.channels if channel.kind == "evidence"]
    layers = {layer.name: layer for layer in list_layers(conn, area)}
    held = {layer.name: EvidenceFacts.of(layer) for layer in layers.values()}
    matches = match_layers(wanted, origin.evidence, held, area=name, model=model.name, report=report)
    used = [layers[match.sources[0]] for match in matches]
    taken = [Channel(layer.name, "evidence") for layer in used]
    geology = _geology_of(model, origin)
    ground = ground_of_channels(conn, area, taken, geology=geology, report=report)
    _take_logarithms(ground, used, matches, report)
    names = [layer.name for layer in used]
    units = [layer.unit for layer in used]
    are_logs = [match.channel.is_log for match in matches]
    is_judged = ground.is_judged
    places = [at for at, channel in enumerate(model.channels) if channel.kind == "evidence"]
    layer_ids = tuple(layer.evidence_layer_id for layer in used)
    found = _matched(ground, _all_matches(model, matches), model, lambda _owner: [], layer_ids)
    # Of the values it holds anyway: those that were read are let go.
    return replace(
        found,
        evidence=lambda owner: layer_evidence(
            names, units, (found.values[place] for place in places), is_judged, owner, are_logs
        ),
    )


def _take_logarithms(
    ground: Ground, layers: Sequence[EvidenceLayer], matches: Sequence[Match], report: Report
) -> None:
    """Of contents where the network learned from them, in place: 0 becomes the same number as in training."""
    for layer, match, values in zip(layers, matches, ground.values, strict=False):  # geology comes behind
        if not match.channel.is_log:
            continue
        least = match.channel.least
        found = to_log10(values, ground.is_judged, least)
        for note in log_notes(layer.name, layer.unit, found, is_given=least is not None):
            report(note)


def _refuse_kind(model: ProspectModel, kind: str, what_to_do: str) -> None:
    foreign = [channel.name for channel in model.channels if channel.kind == kind]
    if foreign:
        what = "layers of evidence" if kind == "evidence" else "bands of a scene"
        raise UsageError(f"model {model.name} was trained on {what}, and {what_to_do}")


def _check_grid(grid: Grid, what: str, model: ProspectModel) -> None:
    require_metres(grid, what)
    check_spacing(grid, model.spacing_m, ground=what, model=model.name)
    if min(grid.width_px, grid.height_px) < model.patch_px:
        raise UsageError(
            f"{what} is {grid.width_px} x {grid.height_px} px, smaller than one patch of model {model.name} "
            f"({model.patch_px} x {model.patch_px} px): search larger ground"
        )


def _geology_of(model: ProspectModel, origin: Origin) -> GeologyChoice:
    bands = tuple(channel.name for channel in model.channels if channel.kind == "geology")
    return GeologyChoice(bands, origin.geology)


def _read_scene(
    conn: Connection[Any],
    scene: Scene,
    bands: Sequence[SceneBand],
    matches: Sequence[Match],
    model: ProspectModel,
    origin: Origin,
    report: Report,
) -> Ground:
    """The bands that the network and the absorptions need, each once, with the geology."""
    good = [
        Channel(band.name, "spectral", band.center_nm, band.width_nm) for band in bands if band.fault is None
    ]
    wanted = {name for match in matches for name in match.sources} | channels_of_absorptions(good)
    taken = [channel for channel in good if channel.name in wanted]
    return ground_of_channels(conn, scene, taken, geology=_geology_of(model, origin), report=report)


def _without_values(ground: Ground) -> set[str]:
    return {
        channel.name
        for channel, values in zip(ground.channels, ground.values, strict=True)
        if channel.kind == "spectral" and not np.isfinite(values).any()
    }


def _all_matches(model: ProspectModel, matches: Sequence[Match]) -> tuple[Match, ...]:
    """Matches of all channels of the network in its order: geology is made as it was in training."""
    by_name = {match.channel: match for match in matches}
    return tuple(by_name.get(channel) or Match(channel, (channel.name,)) for channel in model.channels)


def _matched(
    ground: Ground,
    matches: tuple[Match, ...],
    model: ProspectModel,
    evidence: Callable[[NDArray[np.int32]], list[Evidence]],
    layer_ids: tuple[int, ...] = (),
) -> MatchedGround:
    values = matched_values(matches, ground.channels, ground.values)
    make_relative(model.channels, values, ground.is_judged)
    is_valid = ground.is_judged.copy()
    for layer in values:
        is_valid &= np.isfinite(layer)
    if not is_valid.any():
        raise UsageError(_nothing_judged(ground, matches, values, model))
    return MatchedGround(
        ground.name,
        ground.scene_id,
        ground.evidence_area_id,
        ground.grid,
        matches,
        values,
        is_valid,
        ground.geology_digest,
        layer_ids,
        evidence,
    )


def _nothing_judged(
    ground: Ground, matches: Sequence[Match], values: NDArray[np.float32], model: ProspectModel
) -> str:
    if not ground.is_judged.any():
        return f"no cell of {ground.name} is judged: it holds no data there, or cloud hides all of it"
    shares = [
        (float(np.isfinite(layer[ground.is_judged]).mean()), match.channel.name)
        for match, layer in zip(matches, values, strict=True)
    ]
    share, name = min(shares)
    return (
        f"no cell of {ground.name} has all {len(matches)} channels of model {model.name}: {name} has a value "
        f"on {share:.1%} of the judged ground; take other ground, or bring that channel in anew"
    )
