"""Chips: the pixels of scenes at a mine's place, in true colour, one stretch for what can be compared."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from PIL import Image
from psycopg import Connection

from db.raster import RasterReader
from db.reports.ground import ChipScene
from reporting.sampling import sample
from reporting.view import LocalView

STRETCH_PERCENT = (1.0, 99.0)
"""Percentiles of the pixels shown that become black and white."""

GAMMA = 0.8
"""Brightens the middle; ground is darker than the cloud or tailings that set the white point."""


@dataclass(frozen=True)
class Chip:
    """A picture of a year.

    Attributes:
        year: the year.
        scenes: what it shows, the topmost last.
        png: data URI of the picture, transparent where no scene has pixels.
        width_px, height_px: its size.
        is_comparable: stretched like the other chips; otherwise by itself, since values mean something else.

    """

    year: int
    scenes: tuple[ChipScene, ...]
    png: str
    width_px: int
    height_px: int
    is_comparable: bool


def make_chips(
    conn: Connection[Any], view: LocalView, scenes_of_year: Mapping[int, Sequence[ChipScene]]
) -> list[Chip]:
    """Draw a chip for every year that has pixels at this place.

    Args:
        conn: connection.
        view: what to show.
        scenes_of_year: scenes of each year, in the order in which they are drawn: the last lies on top.

    Returns:
        Chips by year. Years whose scenes have no tiles, no true colours or no pixel here have none.

    """
    pictures: dict[int, tuple[npt.NDArray[np.float32], tuple[ChipScene, ...]]] = {}
    for year, scenes in sorted(scenes_of_year.items()):
        values = np.full((3, view.height_px, view.width_px), np.nan, np.float32)
        layers: list[tuple[ChipScene, npt.NDArray[np.float32]]] = []
        for scene in scenes:
            seen = _true_colour(conn, scene, view)
            if seen is None or np.isnan(seen).all():
                continue
            layers.append((scene, seen))
        # What a scene saw where the one above it saw cloud counts, so it is shown: first all, then the clear.
        for clear_only in (False, True):
            for scene, seen in layers:
                hidden = np.isnan(seen) | (_clouded(scene, view) if clear_only else False)
                values = np.where(hidden, values, seen)
        if layers:
            pictures[year] = values, tuple(scene for scene, _seen in layers)
    kinds = {year: {scene.radiometry for scene in scenes} for year, (_values, scenes) in pictures.items()}
    common = _most_common([next(iter(kind)) for kind in kinds.values() if len(kind) == 1])
    comparable = [values for year, (values, _scenes) in pictures.items() if kinds[year] == {common}]
    shared = (
        _limits(np.concatenate([each.reshape(3, -1) for each in comparable], axis=1)) if comparable else None
    )
    chips = []
    for year, (values, scenes) in pictures.items():
        is_comparable = kinds[year] == {common}
        limits = shared if is_comparable and shared is not None else _limits(values.reshape(3, -1))
        chips.append(Chip(year, scenes, _png(values, limits), view.width_px, view.height_px, is_comparable))
    return chips


def _true_colour(conn: Connection[Any], scene: ChipScene, view: LocalView) -> npt.NDArray[np.float32] | None:
    """Red, green, blue ``(3, height, width)`` in the scene's unit, NaN without data; nearest neighbour."""
    if scene.rgb_bands is None or not scene.has_tiles:
        return None
    found = sample(RasterReader(conn, scene.tile_table), view, scene.rgb_bands)
    if found is None:
        return None
    picked, missing = found
    picked = (picked + np.float32(scene.value_offset)) * np.float32(scene.value_scale)
    picked[:, missing] = np.nan
    return picked


def _clouded(scene: ChipScene, view: LocalView) -> npt.NDArray[np.bool_]:
    """Where a cloud or its shadow lies over the view, ``(height, width)``."""
    if scene.clouded is None:
        return np.zeros((view.height_px, view.width_px), bool)
    shapely.prepare(scene.clouded)
    return np.asarray(shapely.contains_xy(scene.clouded, *view.pixel_centres()))


def _most_common(kinds: list[tuple[str, str]]) -> tuple[str, str] | None:
    return max(sorted(set(kinds)), key=kinds.count) if kinds else None


def _limits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Black and white point of each band ``(2, 3)``."""
    return np.asarray(np.nanpercentile(values, STRETCH_PERCENT, axis=1), np.float64)


def _png(values: npt.NDArray[np.float32], limits: npt.NDArray[np.float64]) -> str:
    dark, bright = limits[0][:, None, None], limits[1][:, None, None]
    span = np.where(bright > dark, bright - dark, 1.0)
    seen = ~np.isnan(values).any(axis=0)
    levels = np.clip((np.nan_to_num(values) - dark) / span, 0, 1) ** GAMMA * 255
    pixels = np.dstack([*np.round(levels).astype(np.uint8), np.where(seen, 255, 0).astype(np.uint8)])
    pixels[~seen] = 0
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
