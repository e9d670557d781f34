"""What is planted in a simulated province: ore on favourable geology, decoys off it, and places left barren.

Each planted place has a halo of a few cells in all ore elements at once, each as modest as the noise of its
element. Ore and decoys have halos of the same strengths; what tells them apart is the geology alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from ingest.simulate.evidence_ground import CELL_M, ORE_ELEMENTS, ORIGIN_M, Province, make_province
from ingest.simulate.fields import FloatMap, stream

FAVOURED_GRANITE_M, FAVOURED_FAULT_M = 9000.0, 4000.0
"""Ore lies no farther than this from a granite, outside or in it, and from a fault."""
FREE_GRANITE_M, FREE_FAULT_M = 12_000.0, 6000.0
"""Decoys lie farther than this from both."""
APART_PX = 8
"""Planted places lie so far apart at least, cells."""
EDGE_PX = 4
CELLS_A_PLACE = 2900
"""One deposit for so many cells, and one decoy and one barren place; six of each at least."""
ATTEMPTS = 40
"""Grounds that are tried until one has room."""
STRENGTH = (0.08, 0.34)
"""What the middle of a halo adds to the logarithm of a content."""
RADIUS_PX = (1.2, 2.2)
"""Standard deviation of a halo, cells."""
_REACH = 6
"""Deviations of a halo beyond which nothing is left of it."""
KINDS = ("ore", "decoy", "barren")


@dataclass(frozen=True)
class Place:
    """A planted place: its kind, cell, halo and where in the cell the deposit lies.

    Attributes:
        kind: one of ``KINDS``; barren places have no halo.
        row, col: of its cell.
        radius_px: standard deviation of its halo, cells.
        strength: by element, added to the logarithm in the middle.
        x_m, y_m: of the point.

    """

    kind: str
    row: int
    col: int
    radius_px: float
    strength: Mapping[str, float]
    x_m: float
    y_m: float


def plant(seed: int, size_px: int) -> tuple[Province, list[Place]]:
    """The first ground of a seed that has room for all places, and the places, by kind.

    Raises:
        UsageError: none has.

    """
    wanted = max(6, round(size_px**2 / CELLS_A_PLACE))
    for attempt in range(ATTEMPTS):
        province = make_province(seed, size_px, attempt)
        places = _places(seed, province, wanted)
        if len(places) == len(KINDS) * wanted:
            return province, places
    raise UsageError(
        f"no ground of {size_px} x {size_px} cells with seed {seed} has room for {wanted} places of each "
        "kind: choose a larger --size-px or another --seed"
    )


def _places(seed: int, province: Province, wanted: int) -> list[Place]:
    """Up to ``wanted`` places of each kind."""
    size_px = len(province.rocks)
    random = stream(seed, "evidence", size_px, "ore")
    near = (province.granite_m <= FAVOURED_GRANITE_M) & (province.fault_m <= FAVOURED_FAULT_M)
    far = (province.granite_m > FREE_GRANITE_M) & (province.fault_m > FREE_FAULT_M)
    inner = np.zeros_like(province.is_inside)
    inner[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX] = province.is_inside[EDGE_PX:-EDGE_PX, EDGE_PX:-EDGE_PX]
    taken: list[tuple[int, int]] = []
    favoured = _spaced(random, near & inner, 2 * wanted, taken)
    decoys = _spaced(random, far & inner, wanted, taken)
    ground = {"ore": favoured[::2], "barren": favoured[1::2], "decoy": decoys}
    places = []
    for kind in KINDS:
        for row, col in ground[kind]:
            within = random.uniform(0.1, 0.9, 2)
            places.append(
                Place(
                    kind=kind,
                    row=row,
                    col=col,
                    radius_px=float(random.uniform(*RADIUS_PX)),
                    strength={
                        element: 0.0 if kind == "barren" else float(random.uniform(*STRENGTH))
                        for element in ORE_ELEMENTS
                    },
                    x_m=float(ORIGIN_M[0] + (col + within[0]) * CELL_M),
                    y_m=float(ORIGIN_M[1] - (row + within[1]) * CELL_M),
                )
            )
    return places


def halos(places: list[Place], size_px: int) -> dict[str, FloatMap]:
    """By element, what all halos add to the logarithm of its content, (size, size)."""
    found = {element: np.zeros((size_px, size_px), np.float32) for element in ORE_ELEMENTS}
    for place in places:
        if not any(place.strength.values()):
            continue
        reach = math.ceil(_REACH * place.radius_px)
        rows = np.arange(max(0, place.row - reach), min(size_px, place.row + reach + 1))
        cols = np.arange(max(0, place.col - reach), min(size_px, place.col + reach + 1))
        away = (rows[:, None] - place.row) ** 2 + (cols - place.col) ** 2
        shape = np.exp(-away / (2 * place.radius_px**2)).astype(np.float32)
        for element, strength in place.strength.items():
            found[element][np.ix_(rows, cols)] += np.float32(strength) * shape
    return found


def _spaced(
    random: np.random.Generator, is_free: NDArray[np.bool_], wanted: int, taken: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Up to ``wanted`` cells drawn from those that are free, apart from each other and from ``taken``."""
    cells = random.permutation(np.argwhere(is_free))
    found: list[tuple[int, int]] = []
    for row, col in cells.tolist():
        if len(found) == wanted:
            break
        if all((row - r) ** 2 + (col - c) ** 2 >= APART_PX**2 for r, c in taken):
            found.append((row, col))
            taken.append((row, col))
    return found
