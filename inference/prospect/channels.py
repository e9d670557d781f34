"""The channels of a ground: bands of a scene, layers of evidence, rasters of geology."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from db.errors import UsageError
from inference.geology.rasters import BANDS, GeologySettings

Kind = Literal["spectral", "evidence", "geology"]

GEOLOGY_KINDS: dict[str, tuple[str, ...]] = {
    "distance": ("fault_distance_m", "pluton_distance_m"),
    "proximity": ("fault_proximity", "pluton_proximity"),
    "density": ("fault_density",),
    "intersections": ("fault_intersections",),
}
"""Rasters of geology by the name they are asked for."""


@dataclass(frozen=True)
class Channel:
    """One input of a network.

    Attributes:
        name: name of the band, the layer, or the raster of geology.
        kind: where it comes from.
        center_nm, width_nm: centre and width of a band, nm; None for all else, and where nobody said.
        is_log: whether its values are logarithms to base 10 of what the layer holds, see `contents`.
        is_geology: whether a layer of evidence maps geology (granite, faults, lithology) and not what was
            measured; those of kind geology do anyway.
        least: of logarithms, the least content that counted where a network was trained; less is taken for
            it. None: that of the ground itself.

    """

    name: str
    kind: Kind
    center_nm: float | None = None
    width_nm: float | None = None
    is_log: bool = False
    least: float | None = None
    is_geology: bool = False
    relative_to_nm: tuple[float, float] | None = None

    @property
    def tells_geology(self) -> bool:
        """Whether it is a raster of geology or a layer that maps geology."""
        return self.kind == "geology" or self.is_geology

    def as_json(self) -> dict[str, Any]:
        """For the database; what is not known is left out, and so is what is not so."""
        return {key: value for key, value in asdict(self).items() if value is not None and value is not False}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Channel:
        """What `as_json` wrote.

        Raises:
            UsageError: it is not that.

        """
        kinds: dict[str, Kind] = {"spectral": "spectral", "evidence": "evidence", "geology": "geology"}
        try:
            center, width, least = (stored.get(key) for key in ("center_nm", "width_nm", "least"))
            is_log, window = stored.get("is_log", False), stored.get("relative_to_nm")
            return cls(
                str(stored["name"]),
                kinds[stored["kind"]],
                None if center is None else float(center),
                None if width is None else float(width),
                {False: False, True: True}[is_log],
                None if least is None else _content(least),
                {False: False, True: True}[stored.get("is_geology", False)],
                None if window is None else _window(window),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"a stored channel cannot be read ({error!r}): make the set again") from error


def treatment(stored: Iterable[Mapping[str, Any]]) -> str:
    """What was done to the values of stored channels, in words that follow a list; empty: nothing."""
    every = list(stored)
    logs = sum(each.get("is_log", False) for each in every)
    relative = sum(each.get("relative_to_nm") is not None for each in every)
    said = f", log10 of {logs}" if logs else ""
    return said + (f", {relative} relative to pixel and scene" if relative else "")


def _content(stored: Any) -> float:
    value = float(stored)
    if not 0 < value < math.inf:
        raise ValueError(f"{value} is no content")
    return value


def _window(stored: Any) -> tuple[float, float]:
    low, high = map(float, stored)
    if not 0 < low <= high < math.inf:
        raise ValueError(f"{stored} is no window of wavelengths")
    return low, high


@dataclass(frozen=True)
class GeologyChoice:
    """Which rasters of geology go beside bands or evidence.

    Attributes:
        bands: of `inference.geology.rasters.BANDS`, in the order of the channels; (): none.
        settings: of proximity and density.

    """

    bands: tuple[str, ...] = GEOLOGY_KINDS["distance"]
    settings: GeologySettings = field(default_factory=GeologySettings)

    def __post_init__(self) -> None:
        unknown = [name for name in self.bands if name not in BANDS]
        if unknown:
            raise UsageError(
                f"there is no raster of geology {', '.join(unknown)}; there are {', '.join(BANDS)}"
            )
        if len(set(self.bands)) < len(self.bands):
            raise UsageError(f"rasters of geology are named twice: {', '.join(self.bands)}")

    @classmethod
    def of_kinds(cls, kinds: Iterable[str], settings: GeologySettings) -> GeologyChoice:
        """The rasters of the kinds asked for (keys of `GEOLOGY_KINDS`), each once."""
        return cls(tuple(band for kind in dict.fromkeys(kinds) for band in GEOLOGY_KINDS[kind]), settings)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The same as channels."""
        return tuple(Channel(name, "geology") for name in self.bands)
