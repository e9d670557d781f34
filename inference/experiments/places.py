"""Which test places a picture shows, chosen by rule before any network's answer is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid
from inference.segmentation_model import CLASS_CODES, IGNORED

FEWEST_SHARE = 0.02
"""A class counts as shown when it labels this share of a window."""
STEPS = 4
"""Windows are tried this many to an edge."""


@dataclass(frozen=True)
class ShownPlace:
    """A window of a scene: number of the scene, first row and column, and size."""

    scene: int
    row: int
    col: int
    height: int
    width: int

    @property
    def rows(self) -> slice:
        """Its rows in the scene."""
        return slice(self.row, self.row + self.height)

    @property
    def cols(self) -> slice:
        """Its columns in the scene."""
        return slice(self.col, self.col + self.width)


def choose_places(
    truths: Sequence[NDArray[np.uint8]], grids: Sequence[Grid], edge_px: int, count: int, seed: int
) -> list[ShownPlace]:
    """The windows that show most classes, first those that no other window shows yet.

    Of windows that show as many classes the one with more labelled pixels is taken, and of equals a random
    one. No two lie on the same ground.

    Args:
        truths: for each scene (height, width) class codes of its test pixels, 255 elsewhere.
        grids: of the scenes.
        edge_px: edge of the windows; less where a scene is smaller.
        count: windows, at most; fewer where the test ground holds no more.
        seed: of the choice among equals.

    """
    places, counts = _candidates(truths, edge_px)
    if not places:
        return []
    areas = np.array([place.height * place.width for place in places])
    shows = counts >= FEWEST_SHARE * areas[:, None]
    order = np.random.default_rng(seed).permutation(len(places))
    boxes = [_box(place, grids[place.scene]) for place in places]
    chosen: list[int] = []
    shown = np.zeros(len(CLASS_CODES), bool)
    while len(chosen) < count:
        free = [
            at
            for at in order.tolist()
            if counts[at].any() and not any(_meet(boxes[at], boxes[other]) for other in chosen)
        ]
        if not free:
            break
        best = max(
            free,
            key=lambda at: (int((shows[at] & ~shown).sum()), int(shows[at].sum()), int(counts[at].sum())),
        )
        chosen.append(best)
        shown |= shows[best]
    return [places[at] for at in chosen]


def _candidates(
    truths: Sequence[NDArray[np.uint8]], edge_px: int
) -> tuple[list[ShownPlace], NDArray[np.int64]]:
    """Windows a quarter of an edge apart, and their labelled pixels (windows, classes)."""
    places, counts = [], [np.zeros((0, len(CLASS_CODES)), np.int64)]
    for scene, truth in enumerate(truths):
        height, width = (min(edge_px, size) for size in truth.shape)
        for row in _starts(truth.shape[0], height):
            for col in _starts(truth.shape[1], width):
                place = ShownPlace(scene, row, col, height, width)
                window = truth[place.rows, place.cols]
                found = np.bincount(window[window != IGNORED], minlength=len(CLASS_CODES))
                places.append(place)
                counts.append(found[None, : len(CLASS_CODES)])
    return places, np.concatenate(counts)


def _starts(size: int, edge: int) -> list[int]:
    return sorted({*range(0, size - edge + 1, max(edge // STEPS, 1)), size - edge})


def _box(place: ShownPlace, grid: Grid) -> tuple[int, float, float, float, float]:
    """CRS, west, south, east and north of a window."""
    west = grid.origin_x + place.col * grid.resolution_x
    north = grid.origin_y - place.row * grid.resolution_y
    east, south = west + place.width * grid.resolution_x, north - place.height * grid.resolution_y
    return grid.srid, west, south, east, north


def _meet(a: tuple[int, float, float, float, float], b: tuple[int, float, float, float, float]) -> bool:
    return a[0] == b[0] and a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
