"""The ground that is searched for ore: channels on one grid, and which of its cells are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.connection import Report
from db.errors import UsageError
from db.evidence import EvidenceArea, EvidenceLayer, area_by_name, layers_by_name
from db.raster import Grid, RasterReader
from db.scene_bands import scene_bands
from db.scenes import Scene, SceneBand, scene_by_product
from db.wavelengths import PEGMATITE_WINDOWS_NM
from inference.geology.rasters import geology_rasters
from inference.prospect.band_choice import bands_by_window, check_windows
from inference.prospect.channels import Channel, GeologyChoice
from inference.prospect.contents import GEOCHEMISTRY, from_log10, log_notes, to_log10
from inference.prospect.grids import cells_inside, require_metres
from inference.prospect.relative import make_relative, relative_channels

SURFACE_REFLECTANCE = "surface_reflectance"
"""The level at which scenes of several days and places can be held against each other."""


@dataclass(frozen=True)
class Ground:
    """Channels on one grid.

    Attributes:
        name: product of the scene, or name of the study area.
        scene_id, evidence_area_id: its key; one of them is None.
        grid: in metres.
        channels: of ``values``, in order; geology last.
        values: (channels, height, width) float32, NaN: no value. Bands of a scene of surface reflectance are
            0..1, with ``relative_to_nm`` around 1; those with ``is_log`` hold logarithms, all else is in
            the unit it is stored in.
        is_judged: (height, width) the cells that count: centres inside the study area, or pixels of a scene
            with data that neither cloud nor shadow hides.
        geology_digest: content of the geology rasters; None without them.
        notes: what was left out of the channels or changed in them, and why.
        layer_ids: key of each layer of evidence, by name; one that is brought in again has another.
        processing_level: what the pixels of a scene hold; None for a study area.

    """

    name: str
    scene_id: int | None
    evidence_area_id: int | None
    grid: Grid
    channels: tuple[Channel, ...]
    values: NDArray[np.float32]
    is_judged: NDArray[np.bool_]
    geology_digest: str | None
    notes: tuple[str, ...] = ()
    layer_ids: Mapping[str, int] = field(default_factory=dict)
    processing_level: str | None = None

    def values_of(self, channels: Sequence[Channel]) -> NDArray[np.float32]:
        """Values (channels, height, width) of some channels, by name and in their order."""
        names = [channel.name for channel in self.channels]
        places = [names.index(channel.name) for channel in channels]
        return self.values if places == list(range(len(names))) else self.values[places]

    @property
    def is_valid(self) -> NDArray[np.bool_]:
        """(height, width): judged, with a value in every channel."""
        valid = self.is_judged.copy()
        for channel in self.values:
            valid &= np.isfinite(channel)
        return valid


def level_warning(ground: Ground) -> str | None:
    """What to know before learning from pixels that are not surface reflectance; None: they are, or none."""
    level = ground.processing_level
    if level is None or level == SURFACE_REFLECTANCE:
        return None
    return (
        f"{ground.name} holds {level}, not {SURFACE_REFLECTANCE}: sun and air of that day are learned with "
        "the rock, and the model searches scenes of that level alone; better correct the scene first (`lode "
        "ingest scene` with --atmosphere)"
    )


def scene_ground(
    conn: Connection[Any],
    product: str,
    *,
    windows_nm: Sequence[tuple[float, float]] = PEGMATITE_WINDOWS_NM,
    is_relative: bool = False,
    geology: GeologyChoice = GeologyChoice(),  # noqa: B008 - frozen
    report: Report = lambda _line: None,
) -> Ground:
    """A scene's bands chosen by wavelength, with geology on its grid.

    Bands with a fault, without any value, or with one value everywhere are left out. A scene of any
    processing level is taken; what is not surface reflectance is warned of.

    Args:
        conn: connection; geology rasters that were not there yet are stored, the caller commits.
        product: the scene; its version that counts.
        windows_nm: bands whose centre lies in one of them are taken.
        is_relative: take them relative to pixel and scene, see `relative`.
        geology: which rasters of geology.
        report: hears what was left out and why, and of another level than surface reflectance.

    Raises:
        UsageError: no such scene, not in metres, no wavelengths, a window without a usable band (or with
            one, where they are relative), no faults or plutons.

    """
    scene = scene_by_product(conn, product)
    require_metres(scene.grid, f"scene {product}")
    bands = scene_bands(conn, scene)
    found = bands_by_window(product, bands, windows_nm)
    faulty = [place for place in found if bands[place].fault is not None]
    places = [place for place in found if bands[place].fault is None]
    check_windows(product, [bands[place] for place in places], windows_nm, "it is marked as faulty")
    notes = [f"band {bands[place].name} is left out: {bands[place].fault}" for place in faulty]
    channels = [_band_channel(bands[place]) for place in places]
    ground = _scene_ground(conn, scene, places, channels, geology, report)
    ground = _without_empty(ground, "band", notes)
    left = [channel for channel in ground.channels if channel.kind == "spectral"]
    check_windows(product, left, windows_nm, "it holds no values")
    if is_relative:
        ground = replace(ground, channels=relative_channels(ground.channels, windows_nm, product))
        make_relative(ground.channels, ground.values, ground.is_judged)
    for note in ground.notes:
        report(note)
    warning = level_warning(ground)
    if warning is not None:
        report(f"warning: {warning}")
    return ground


def area_ground(
    conn: Connection[Any],
    area: str,
    *,
    layers: Sequence[str] | None = None,
    raw_contents: bool = False,
    geology: GeologyChoice = GeologyChoice(),  # noqa: B008 - frozen
    report: Report = lambda _line: None,
) -> Ground:
    """Layers of evidence of a study area, with geology on its grid.

    Of layers of geochemistry the logarithm to base 10 is taken, see `contents`. Layers without any value on
    judged ground, or with one value everywhere, are left out.

    Args:
        conn: connection; geology rasters that were not there yet are stored, the caller commits.
        area: name of the study area.
        layers: names of the layers, in the order wanted; None: all, in the order in which they came in.
        raw_contents: take contents as they are, without logarithms.
        geology: which rasters of geology.
        report: hears what was left out or changed, and why.

    Raises:
        UsageError: no such area or layer, no layers, no faults or plutons.

    """
    found = area_by_name(conn, area)
    chosen = layers_by_name(conn, found, layers)
    are_logs = [layer.kind == GEOCHEMISTRY and not raw_contents for layer in chosen]
    ground = _area_ground(conn, found, chosen, are_logs, geology, report)
    ground = _without_empty(ground, "layer", ground.notes)
    if not any(channel.kind == "evidence" for channel in ground.channels):
        raise UsageError(
            f"no layer of area {area} tells cells apart: " + "; ".join(ground.notes) + ". Bring others"
        )
    for note in ground.notes:
        report(note)
    return ground


def ground_of_channels(
    conn: Connection[Any],
    place: Scene | EvidenceArea,
    channels: Sequence[Channel],
    *,
    geology: GeologyChoice,
    report: Report = lambda _line: None,
) -> Ground:
    """Exactly these channels of a scene or a study area, whatever they hold; notes tell of contents of 0.

    Args:
        conn: connection; geology rasters that were not there yet are stored, the caller commits.
        place: the scene or the study area.
        channels: spectral ones name bands of the scene, evidence names layers of the area, of which
            logarithms are taken where ``is_log``; those of geology are given by ``geology`` and passed over
            here.
        geology: which rasters of geology.
        report: hears of the progress.

    Raises:
        UsageError: a band or layer is not there, the grid is not in metres, no faults or plutons.

    """
    if isinstance(place, Scene):
        require_metres(place.grid, f"scene {place.product}")
        wanted = [channel for channel in channels if channel.kind == "spectral"]
        missing = [channel.name for channel in wanted if channel.name not in place.band_names]
        if missing:
            raise UsageError(f"scene {place.product} has no band {', '.join(missing)}")
        bands = scene_bands(conn, place)
        places = [place.band_names.index(channel.name) for channel in wanted]
        own = [
            replace(_band_channel(bands[number]), relative_to_nm=channel.relative_to_nm)
            for number, channel in zip(places, wanted, strict=True)
        ]
        ground = _scene_ground(conn, place, places, own, geology, report)
        make_relative(ground.channels, ground.values, ground.is_judged)
        return ground
    evidence = [channel for channel in channels if channel.kind == "evidence"]
    layers = layers_by_name(conn, place, [channel.name for channel in evidence])
    return _area_ground(conn, place, layers, [channel.is_log for channel in evidence], geology, report)


def _band_channel(band: SceneBand) -> Channel:
    return Channel(band.name, "spectral", band.center_nm, band.width_nm)


def _scene_ground(
    conn: Connection[Any],
    scene: Scene,
    places: Sequence[int],
    channels: Sequence[Channel],
    geology: GeologyChoice,
    report: Report,
) -> Ground:
    """Bands of a scene by their places (from 0), and the geology."""
    values, digest = _with_geology(conn, scene.grid, len(places), geology, report)
    reader = RasterReader(conn, scene.tile_table)
    _read_bands(reader, places, values, scene.value_offset, scene.value_scale)
    is_judged = np.zeros(values.shape[1:], bool)
    for band in values[: len(places)]:
        is_judged |= np.isfinite(band)
    if scene.clouded is not None:
        is_judged &= ~cells_inside(scene.clouded, scene.grid)
    _blank(values[: len(places)], is_judged)
    every = (*channels, *geology.channels)
    return Ground(
        scene.product,
        scene.scene_id,
        None,
        scene.grid,
        every,
        values,
        is_judged,
        digest,
        processing_level=scene.processing_level,
    )


def _area_ground(
    conn: Connection[Any],
    area: EvidenceArea,
    layers: Sequence[EvidenceLayer],
    are_logs: Sequence[bool],
    geology: GeologyChoice,
    report: Report,
) -> Ground:
    """Layers of an area, of which logarithms are taken where ``are_logs``, and the geology."""
    require_metres(area.grid, f"area {area.name}")
    own = [
        Channel(layer.name, "evidence", is_log=is_log, is_geology=layer.kind == "geology")
        for layer, is_log in zip(layers, are_logs, strict=True)
    ]
    channels = (*own, *geology.channels)
    names = [channel.name for channel in channels]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise UsageError(
            f"the layers of area {area.name} and the rasters of geology name {', '.join(double)} more than "
            "once: name each --layer once, and leave out those called like a raster of geology"
        )
    values, digest = _with_geology(conn, area.grid, len(layers), geology, report)
    for place, layer in enumerate(layers):
        _read_bands(RasterReader(conn, layer.tile_table), [0], values[place : place + 1], 0.0, 1.0)
    is_judged = cells_inside(area.geometry, area.grid)
    notes = []
    for layer, is_log, held in zip(layers, are_logs, values, strict=False):  # geology comes behind
        if is_log:
            notes += _log_notes(layer, held, is_judged)
    _blank(values[: len(layers)], is_judged)
    return Ground(
        area.name,
        None,
        area.evidence_area_id,
        area.grid,
        channels,
        values,
        is_judged,
        digest,
        tuple(notes),
        layer_ids={layer.name: layer.evidence_layer_id for layer in layers},
    )


def _blank(values: NDArray[np.float32], is_judged: NDArray[np.bool_]) -> None:
    """Take all values (channels, height, width) from cells that do not count, in place.

    Patches may hold a few of them, under cloud or outside the study area: they must tell a network nothing.
    """
    for channel in values:
        channel[~is_judged] = np.nan


def _log_notes(layer: EvidenceLayer, values: NDArray[np.float32], is_judged: NDArray[np.bool_]) -> list[str]:
    """Take the logarithms of a layer (height, width), in place; says what has none."""
    return log_notes(layer.name, layer.unit, to_log10(values, is_judged))


def _with_geology(
    conn: Connection[Any], grid: Grid, others: int, geology: GeologyChoice, report: Report
) -> tuple[NDArray[np.float32], str | None]:
    """Room for ``others`` channels followed by those of geology, and the digest of these."""
    values = np.empty((others + len(geology.bands), grid.height_px, grid.width_px), np.float32)
    if not geology.bands:
        return values, None
    rasters = geology_rasters(conn, grid, geology.settings, report=report)
    for place, name in enumerate(geology.bands):
        values[others + place] = rasters.values[rasters.band_names.index(name)]
    return values, rasters.content_digest


def _read_bands(
    reader: RasterReader,
    places: Sequence[int],
    values: NDArray[np.float32],
    value_offset: float,
    value_scale: float,
) -> None:
    """Fill the first of ``values`` (bands, height, width) with bands by their places (from 0), NaN: none.

    Read by rows of tiles, so that no second array of that size is needed.
    """
    height, width = values.shape[1:]
    nodata = [reader.nodata_values[place] for place in places]
    for top in range(0, height, reader.tile_px):
        rows = min(reader.tile_px, height - top)
        stored = reader.read(top, 0, rows, width, bands=[place + 1 for place in places])
        for place, band in enumerate(stored):
            target = values[place, top : top + rows]
            with np.errstate(over="ignore", invalid="ignore"):
                target[:] = (band.astype(np.float32) + np.float32(value_offset)) * np.float32(value_scale)
            missing = nodata[place]
            if missing is not None and not np.isnan(missing):
                target[band == missing] = np.nan
            target[~np.isfinite(target)] = np.nan


def _without_empty(ground: Ground, what: str, notes: Sequence[str]) -> Ground:
    """The same ground without channels (but for geology) that hold no value, or one only, where judged."""
    kept, said = [], list(notes)
    for place, channel in enumerate(ground.channels):
        held = ground.values[place][ground.is_judged]
        held = held[np.isfinite(held)]
        if channel.kind != "geology" and (held.size == 0 or held.min() == held.max()):
            is_empty = held.size == 0
            alone = "" if is_empty else f"{from_log10(held[:1])[0] if channel.is_log else held[0]:g}"
            why = "it holds no value" if is_empty else f"it has the value {alone} everywhere"
            said.append(f"{what} {channel.name} is left out: {why}")
        else:
            kept.append(place)
    return replace(
        ground,
        channels=tuple(ground.channels[place] for place in kept),
        values=ground.values if len(kept) == len(ground.channels) else ground.values[kept],
        notes=tuple(said),
    )
