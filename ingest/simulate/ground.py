"""The ground that everything is painted on, and windows into it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ingest.simulate.fields import ByteMap, FloatMap, Mask, ring_noise, smooth_noise

BACKGROUND, VEGETATION, WATER, LIVING_AREA, INDUSTRIAL_SQUARE, DUMP, OPEN_PIT, TAILINGS_POND = range(8)
CLASS_KEYS = (
    "background",
    "vegetation",
    "water",
    "living_area",
    "industrial_square",
    "dump",
    "open_pit",
    "tailings_pond",
)


@dataclass(frozen=True)
class Ground:
    """State of the land in one year; all arrays (height, width) of the district.

    `material` 0 is natural soil (its colour follows the rock below), others index the table of materials;
    `cover` is the fraction of a pixel under plants of kind `plant`; `tone` brightens or darkens;
    `treated` is 0, or the code of the treated class (9 pit, 10 dump) where ground was revegetated.
    """

    land_class: ByteMap
    material: ByteMap
    plant: ByteMap
    treated: ByteMap
    height_m: FloatMap
    cover: FloatMap
    tone: FloatMap

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.land_class.shape[0], self.land_class.shape[1]

    def copy(self) -> "Ground":
        """Ground that can be painted without touching this one."""
        return Ground(**{name: getattr(self, name).copy() for name in self.__dataclass_fields__})

    def view(self, rows: slice, columns: slice) -> "Ground":
        """Window whose arrays share memory with this ground: painting there paints here."""
        return Ground(**{name: getattr(self, name)[rows, columns] for name in self.__dataclass_fields__})

    def put(self, mask: Mask, *, land_class: int, material: int | ByteMap) -> None:
        """Set class and material where `mask` is set; plants there are gone."""
        self.land_class[mask] = land_class
        self.material[mask] = material[mask] if isinstance(material, np.ndarray) else material
        self.cover[mask] = 0.0
        self.treated[mask] = 0
        self.tone[mask] = 1.0


@dataclass(frozen=True)
class Frame:
    """Square window round a centre (row, column) with axes turned by `angle`, cut at the district's edge.

    `u` and `v` are pixel offsets along and across the turned axis inside the cut window; `full` is the shape
    before cutting: noise is drawn for it, so that a cut element looks like the rest of itself.
    """

    rows: slice
    columns: slice
    full: tuple[int, int]
    inner: tuple[slice, slice]
    u: FloatMap
    v: FloatMap

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the window lies inside the district."""
        return self.u.size == 0

    def noise(self, rng: np.random.Generator, spacing: float) -> FloatMap:
        """Smooth noise over the window, deviation 1, features of `spacing` pixels."""
        return smooth_noise(rng, self.full, max(spacing, 2.0))[self.inner]

    def cut(self, full: NDArray[np.float32]) -> FloatMap:
        """Part of an array of the uncut window that lies inside the district."""
        return full[self.inner]


def frame(centre: tuple[float, float], reach_px: float, angle: float, shape: tuple[int, int]) -> Frame:
    """Window reaching `reach_px` pixels to each side of a centre (row, column)."""
    reach = int(np.ceil(reach_px))
    top, left = int(centre[0]) - reach, int(centre[1]) - reach
    size = 2 * reach + 1
    row0, row1 = np.clip([top, top + size], 0, shape[0])
    column0, column1 = np.clip([left, left + size], 0, shape[1])
    rows, columns = slice(int(row0), int(row1)), slice(int(column0), int(column1))
    inner = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    y = (np.arange(rows.start, rows.stop) + 0.5 - centre[0]).astype(np.float32)[:, None]
    x = (np.arange(columns.start, columns.stop) + 0.5 - centre[1]).astype(np.float32)[None, :]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return Frame(rows, columns, (size, size), inner, x * cos + y * sin, y * cos - x * sin)


def blob(
    rng: np.random.Generator, part: Frame, a_px: float, b_px: float, *, rough: float = 1.0
) -> tuple[FloatMap, FloatMap]:
    """Irregular ellipse with half axes in pixels.

    Returns:
        rho, 1 on the outline and 0 at the centre, and the angle round the centre in 0..2 pi.

    """
    angle = np.arctan2(part.v / b_px, part.u / a_px) % np.float32(2 * np.pi)
    radius = np.hypot(part.u / a_px, part.v / b_px)
    bumps = 1 + rough * (0.10 * ring_noise(rng, angle, 5) + 0.045 * ring_noise(rng, angle, 13))
    wobble = 0.06 * rough * part.noise(rng, min(a_px, b_px) / 2.5)
    fine = 0.012 * rough * part.noise(rng, 5)
    return (radius / bumps + (wobble + fine) * np.minimum(radius * 2, 1)).astype(np.float32), angle


def levelled(height_m: FloatMap, mask: Mask, sigma_px: float, edge_px: float) -> FloatMap:
    """Broad form of the land where `mask` is set, easing into the land as it is over `edge_px` pixels."""
    ease = np.clip(ndimage.distance_transform_edt(mask).astype(np.float32) / np.float32(edge_px), 0, 1)
    return np.asarray(height_m + (smoothed(height_m, sigma_px) - height_m) * ease, dtype=np.float32)


def smoothed(height_m: FloatMap, sigma_px: float) -> FloatMap:
    """Broad form of the land inside a window."""
    return np.asarray(ndimage.gaussian_filter(height_m, sigma_px, mode="nearest"), dtype=np.float32)
