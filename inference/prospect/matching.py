"""The channels of other ground against those of a network: which it can be fed with, and what is missing.

Bands are matched by wavelength, whatever they are called: the good band whose centre lies nearest to that of
training is taken when it lies within half the band width of it. Otherwise the value is interpolated on the
straight line between the good bands on both sides, when these lie at most two band widths apart. The band
width is that of the band of training. Layers of evidence are matched by their name, then by their element,
and must be in the unit of training.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.evidence import EvidenceLayer
from db.raster import Grid
from db.scenes import SceneBand
from inference.prospect.channels import Channel
from inference.prospect.contents import GEOCHEMISTRY

SPACING_TOLERANCE = 0.05
"""Cells may be so much larger or smaller than those of training: what a patch shows changes with them."""
INTERPOLATION_WIDTHS = 2.0
"""Bands so many band widths apart are interpolated between, not farther ones."""
_ROUNDING_NM = 1e-6
_SAME_UNITS = {
    **dict.fromkeys(("ppm", "g/t", "mg/kg", "ug/g", "\u03bcg/g"), "ppm"),
    **dict.fromkeys(("ppb", "mg/t", "ug/kg", "\u03bcg/kg", "ng/g"), "ppb"),
    **dict.fromkeys(("%", "wt%", "wt.%", "pct", "percent"), "%"),
}
"""Units of contents by mass that are one and the same."""


@dataclass(frozen=True)
class Match:
    """What a channel of the network is made of.

    Attributes:
        channel: the network's.
        sources: names of one or two channels of the ground.
        weights: what they count, summing to 1.
        centers_nm: of the bands taken; empty for other channels.

    """

    channel: Channel
    sources: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)
    centers_nm: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the parameters of a search."""
        stored = {**self.channel.as_json(), "sources": list(self.sources)}
        if len(self.sources) > 1:
            stored["weights"] = [round(weight, 6) for weight in self.weights]
        if self.centers_nm:
            stored["source_centers_nm"] = list(self.centers_nm)
        return stored


@dataclass(frozen=True)
class EvidenceFacts:
    """What a layer of evidence holds.

    Attributes:
        kind: one of ``db.evidence.KINDS``; None: not known.
        element: element or oxide it is the content of; None: of none, or not known.
        unit: of its values; None: not known.

    """

    kind: str | None = None
    element: str | None = None
    unit: str | None = None

    @classmethod
    def of(cls, layer: EvidenceLayer) -> EvidenceFacts:
        """Of a stored layer."""
        return cls(layer.kind, layer.element, layer.unit)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EvidenceFacts:
        """What `as_json` wrote."""
        return cls(stored.get("kind"), stored.get("element"), stored.get("unit"))

    def as_json(self) -> dict[str, str | None]:
        """For the facts of a training."""
        return {"kind": self.kind, "element": self.element, "unit": self.unit}


def match_bands(
    wanted: Sequence[Channel],
    bands: Sequence[SceneBand],
    *,
    scene: str,
    model: str,
    without: frozenset[str] = frozenset(),
) -> tuple[Match, ...]:
    """Match the spectral channels of a network by wavelength.

    Args:
        wanted: channels of the network, with their wavelengths.
        bands: all bands of the scene; those with a fault are not taken.
        scene: its name, for the message.
        model: the network's name, for the message.
        without: names of bands that are not taken either, because they hold no values.

    Raises:
        UsageError: wavelengths that the scene lacks; names them, and the bands that are faulty.

    """
    good = sorted(
        (band.center_nm, band.width_nm or 0.0, band.name)
        for band in bands
        if band.center_nm is not None and band.fault is None and band.name not in without
    )
    matches = [_match_band(channel, good) for channel in wanted]
    missing = [channel for channel, match in zip(wanted, matches, strict=True) if match is None]
    if missing:
        raise UsageError(_missing_text(missing, bands, without, scene, model))
    return tuple(match for match in matches if match is not None)


def _match_band(channel: Channel, good: Sequence[tuple[float, float, str]]) -> Match | None:
    if channel.center_nm is None or not good:
        return None
    center, name = channel.center_nm, channel.name
    # Of two bands equally near, one that is called the same, so that a scene of training matches itself.
    nearest = min(good, key=lambda band: (abs(band[0] - center), band[2] != name))
    width = channel.width_nm or nearest[1]
    if abs(nearest[0] - center) <= width / 2 + _ROUNDING_NM:
        return Match(channel, (nearest[2],), centers_nm=(nearest[0],))
    below = [band for band in good if band[0] < center]
    above = [band for band in good if band[0] > center]
    if not below or not above:
        return None
    left, right = below[-1], above[0]
    apart = right[0] - left[0]
    if apart > INTERPOLATION_WIDTHS * width + _ROUNDING_NM:
        return None
    share = (center - left[0]) / apart
    return Match(channel, (left[2], right[2]), (1 - share, share), (left[0], right[0]))


def _missing_text(
    missing: Sequence[Channel],
    bands: Sequence[SceneBand],
    without: frozenset[str],
    scene: str,
    model: str,
) -> str:
    lacking = ", ".join(
        channel.name if channel.center_nm is None else f"{channel.center_nm:g} nm" for channel in missing
    )
    said = f"scene {scene} has no usable band for {lacking}, which model {model} was trained on"
    faults = [f"{band.name} ({band.fault})" for band in bands if band.fault is not None]
    faults += [f"{name} (no values)" for name in sorted(without)]
    if all(band.center_nm is None for band in bands):
        said += "; it says of none of its bands at which wavelength it lies"
    elif faults:
        said += f"; not used were {', '.join(faults)}"
    return (
        f"{said}: take a scene of an instrument that has them, or train on wavelengths that both have "
        "(--windows-nm of `lode prospect dataset`)"
    )


def match_layers(
    wanted: Sequence[Channel],
    trained_on: Mapping[str, EvidenceFacts],
    layers: Mapping[str, EvidenceFacts],
    *,
    area: str,
    model: str,
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[Match, ...]:
    """Match the evidence of a network with the layers of a study area.

    Args:
        wanted: channels of the network.
        trained_on: what these channels held in training by name, as far as known.
        layers: what each layer of the area holds, by name.
        area: its name, for the message.
        model: the network's name, for the message.
        report: hears of layers whose unit is not known on one side, or whose kind is another.

    Raises:
        UsageError: layers that the area lacks, or has several of; that are in another unit than in training;
            that are called alike and hold another element; or of which logarithms are to be taken though
            they are not of geochemistry.

    """
    matches = []
    missing = []
    for channel in wanted:
        element = trained_on.get(channel.name, EvidenceFacts()).element or channel.name
        of_element = [name for name, other in layers.items() if other.element == element]
        if channel.name in layers:
            matches.append(Match(channel, (channel.name,)))
        elif len(of_element) == 1:
            matches.append(Match(channel, (of_element[0],)))
        elif of_element:
            raise UsageError(
                f"study area {area} has {len(of_element)} layers of {element} ({', '.join(of_element)}): "
                f"call the one that model {model} shall see {channel.name}"
            )
        else:
            missing.append(channel.name if element == channel.name else f"{channel.name} ({element})")
    if missing:
        raise UsageError(
            f"study area {area} has no layer {', '.join(missing)}, which model {model} was trained on; it "
            f"has {', '.join(layers) or 'none'}: bring them with `lode ingest evidence`"
        )
    taken = [match.sources[0] for match in matches]
    for name in sorted({name for name in taken if taken.count(name) > 1}):
        channels = [match.channel.name for match in matches if match.sources[0] == name]
        raise UsageError(
            f"layer {name} of study area {area} is the only one for the channels {' and '.join(channels)} of "
            f"model {model}: bring a layer for each, called as in training"
        )
    for doubt in _doubts(matches, trained_on, layers, area, model):
        report(f"warning: {doubt}")
    return tuple(matches)


def _doubts(
    matches: Sequence[Match],
    trained_on: Mapping[str, EvidenceFacts],
    layers: Mapping[str, EvidenceFacts],
    area: str,
    model: str,
) -> list[str]:
    """Hold matched layers against those of training; what may be amiss.

    Raises:
        UsageError: what certainly is.

    """
    doubts, unknown = [], []
    for match in matches:
        [name] = match.sources
        here, there = layers[name], trained_on.get(match.channel.name, EvidenceFacts())
        what = f"layer {name} of study area {area}"
        if here.element is not None and there.element is not None and here.element != there.element:
            raise UsageError(
                f"{what} holds {here.element}, that of model {model} held {there.element}: call the layer of "
                f"{there.element} {match.channel.name}, or train on layers like these"
            )
        if match.channel.is_log and here.kind not in (None, GEOCHEMISTRY):
            raise UsageError(
                f"{what} is of kind {here.kind}, and model {model} takes the logarithm of contents there: "
                f"bring it in with --kind {GEOCHEMISTRY} if it holds contents, or train on layers like these"
            )
        if here.unit is not None and there.unit is not None and _unit(here.unit) != _unit(there.unit):
            raise UsageError(
                f"{what} is in {here.unit}, that of model {model} was in {there.unit}: bring it in "
                f"again with values in {there.unit} (--unit {there.unit!r} --replace), or train on "
                "layers like these"
            )
        if (here.unit is None) != (there.unit is None):
            unknown.append(f"{name} ({here.unit or 'unknown'} here, {there.unit or 'unknown'} in training)")
        if here.kind is not None and there.kind is not None and here.kind != there.kind:
            doubts.append(f"{what} is of kind {here.kind}, that of model {model} was of kind {there.kind}")
    if unknown:
        doubts.append(
            f"whether layers of study area {area} are in the units of model {model} is not known: "
            + ", ".join(unknown)
        )
    return doubts


def _unit(text: str) -> str:
    """A unit without blanks; those of contents that are the same by one name."""
    plain = "".join(unicodedata.normalize("NFKC", text).split())
    return _SAME_UNITS.get(plain.casefold(), plain)


def check_level(level: str, trained_on: str | None, *, scene: str, model: str) -> None:
    """Refuse reflectance of another kind than that of training.

    Raises:
        UsageError: the levels differ, or the network does not say its own.

    """
    if trained_on is None:
        raise UsageError(f"model {model} does not say at which level its scene was: train it again")
    if level != trained_on:
        raise UsageError(
            f"scene {scene} holds {level}, model {model} was trained on {trained_on}: bring the scene in at "
            "that level (`lode ingest scene` with its atmospheric correction), or train on scenes like it"
        )


def check_spacing(grid: Grid, spacing_m: float, *, ground: str, model: str) -> None:
    """Refuse cells of another size than those of training.

    Raises:
        UsageError: width or height differ by more than 5 %.

    """
    for edge_m in (grid.resolution_x, grid.resolution_y):
        if abs(edge_m / spacing_m - 1) > SPACING_TOLERANCE:
            raise UsageError(
                f"{ground} has cells of {grid.resolution_x:g} x {grid.resolution_y:g} m, model {model} was "
                f"trained on {spacing_m:g} m, and a patch of it would show other ground: bring it in with "
                f"--resolution {spacing_m:g}, or train on cells like these"
            )


def matched_values(
    matches: Sequence[Match], channels: Sequence[Channel], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The network's channels from those of the ground.

    Args:
        matches: what each channel of the network is made of, in its order.
        channels: of the ground.
        values: ``(channels, height, width)`` of the ground, NaN: no value.

    Returns:
        ``(matches, height, width)`` float32; a value is missing where one of its sources is.

    """
    place = {(channel.kind == "geology", channel.name): at for at, channel in enumerate(channels)}
    made = np.empty((len(matches), *values.shape[1:]), np.float32)
    for at, match in enumerate(matches):
        sources = [place[match.channel.kind == "geology", name] for name in match.sources]
        np.multiply(values[sources[0]], np.float32(match.weights[0]), out=made[at])
        for source, weight in zip(sources[1:], match.weights[1:], strict=True):
            made[at] += values[source] * np.float32(weight)
    return made
