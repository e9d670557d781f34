"""Random years of drawn ground: what was seen and labelled as letters on a grid of cells, and who counts it.

The year map, areas and transitions of such ground are counted here with numpy, cell by cell, by the rules of
docs/accounting.md; tests compare what the database derives with that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from tests.catalogue_rows import CODES, add_label, add_mine, add_model, add_scene, publish_drawing
from tests.grids import CELL_M2, cells

ROWS, COLUMNS = 6, 8
NOT_SEEN = -1
DAMAGE = {2: "excavated", 3: "occupied", 4: "occupied", 5: "occupied", 6: "excavated", 7: "occupied"}
DAMAGE |= {8: "subsided"}
LETTERS = {code: letter for letter, code in CODES.items()}

Cells = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass
class Seen:
    """One scene's run: class codes (rows, columns), -1 where it saw nothing."""

    codes: Cells
    acquired_on: date
    priority: int = 0
    cloud_fraction: float = 0.0
    is_counted: bool = True


@dataclass
class Drawn:
    """A label that counts."""

    mask: Mask
    code: int
    valid_on: date


@dataclass
class World:
    """What a database holds: scenes and labels by year, mines by code."""

    mines: dict[str, Mask] = field(default_factory=dict)
    scenes: list[Seen] = field(default_factory=list)
    labels: list[Drawn] = field(default_factory=list)

    def years(self) -> list[int]:
        """Years anything is known of, ascending."""
        days = [seen.acquired_on for seen in self.scenes if seen.is_counted]
        return sorted({day.year for day in [*days, *(label.valid_on for label in self.labels)]})

    def year_map(self, year: int) -> Cells:
        """Class of each cell in a year: the worst run first, the better ones over it, labels last."""
        ground = np.full((ROWS, COLUMNS), NOT_SEEN)
        runs = [seen for seen in self.scenes if seen.is_counted and seen.acquired_on.year == year]
        order = {id(seen): place for place, seen in enumerate(self.scenes)}
        runs.sort(
            key=lambda seen: (
                seen.priority,
                round(100 * (1 - seen.cloud_fraction)),
                seen.acquired_on,
                order[id(seen)],
            )
        )
        for seen in runs:
            ground = np.where(seen.codes != NOT_SEEN, seen.codes, ground)
        drawn = [label for label in self.labels if label.valid_on.year == year]
        for label in sorted(drawn, key=lambda each: each.valid_on):
            ground[label.mask] = label.code
        return ground

    def areas(self) -> dict[tuple[str, int, int], int]:
        """Cells by mine, year and class, where there are any."""
        found = {}
        for code, inside in self.mines.items():
            for year in self.years():
                ground = self.year_map(year)
                for land_class in range(13):
                    count = int((inside & (ground == land_class)).sum())
                    if count:
                        found[code, year, land_class] = count
        return found

    def transitions(self) -> dict[tuple[str, int, int, int, int], int]:
        """Cells by mine, pair of consecutive years that saw it, class before and class after."""
        found: dict[tuple[str, int, int, int, int], int] = {}
        for code, inside in self.mines.items():
            maps = {year: self.year_map(year) for year in self.years()}
            seen = [year for year, ground in maps.items() if (inside & (ground != NOT_SEEN)).any()]
            for before, after in pairwise(seen):
                for was, is_now in zip(maps[before][inside], maps[after][inside], strict=True):
                    if NOT_SEEN not in (was, is_now):
                        key = (code, before, after, int(was), int(is_now))
                        found[key] = found.get(key, 0) + 1
        return found


def drawing(codes: Cells, corner: tuple[int, int]) -> str:
    """Class codes as a drawing whose upper left cell lies at ``corner`` (row, column) of the grid."""
    row, column = corner
    lines = ["." * column + "".join(LETTERS.get(int(code), ".") for code in line) for line in codes]
    return "\n".join(["."] * row + lines)


def area_of(mask: Mask, corner: tuple[int, int]) -> Any:
    """Cells of a mask as a MultiPolygon in EPSG:4326."""
    return cells(drawing(np.where(mask, 1, NOT_SEEN), corner), "v")


def random_mask(random: np.random.Generator) -> Mask:
    """A rectangle of cells with a bite taken out of it."""
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    top, left = random.integers(0, ROWS - 2), random.integers(0, COLUMNS - 3)
    height, width = random.integers(2, ROWS - top + 1), random.integers(3, COLUMNS - left + 1)
    mask[top : top + height, left : left + width] = True
    if random.random() < 0.5:
        mask[top, left] = False
    return mask


def random_seen(random: np.random.Generator, year: int) -> Seen:
    """A scene of a year that saw most of the ground."""
    codes = random.integers(0, 8, (ROWS, COLUMNS))
    codes[random.random((ROWS, COLUMNS)) < 0.15] = NOT_SEEN
    codes[~random_mask(random) & (random.random() < 0.5)] = NOT_SEEN
    day = date(year, int(random.integers(1, 13)), int(random.integers(1, 29)))
    cloud = float(random.choice([0.0, 0.0, 0.004, 0.2]))
    return Seen(codes, day, int(random.choice([0, 0, 0, 1])), cloud)


def random_label(random: np.random.Generator, year: int) -> Drawn:
    """Subsidence or treated ground that an interpreter drew."""
    day = date(year, int(random.integers(1, 13)), int(random.integers(1, 29)))
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    top, left = random.integers(0, ROWS - 1), random.integers(0, COLUMNS - 1)
    mask[top : top + 2, left : left + 2] = True
    return Drawn(mask, int(random.choice([8, 9, 10])), day)


def store(conn: Connection[Any], world: World, name: str, corner: tuple[int, int]) -> None:
    """Put a world into the database, with its own products and codes of mines, at a corner of the grid."""
    model = add_model(conn, f"net {name}")
    for code, inside in world.mines.items():
        add_mine(conn, code, area_of(inside, corner))
    for number, seen in enumerate(world.scenes):
        store_seen(conn, seen, f"{name}-{number}", model, corner)
    for label in world.labels:
        add_label(conn, label.code, area_of(label.mask, corner), label.valid_on)


def store_seen(conn: Connection[Any], seen: Seen, product: str, model: int, corner: tuple[int, int]) -> int:
    """A scene and its published run; returns the scene's key."""
    footprint = area_of(np.ones((ROWS, COLUMNS), np.bool_), corner)
    scene = add_scene(conn, product, seen.acquired_on, footprint)
    conn.execute(
        "update lode.scene set cloud_fraction = %s where scene_id = %s", (seen.cloud_fraction, scene)
    )
    run = publish_drawing(conn, scene, model, seen.acquired_on.year, drawing(seen.codes, corner))
    if seen.priority:
        conn.execute("update lode.run set priority = %s where run_id = %s", (seen.priority, run))
    return scene


def in_cells(area_m2: float) -> float:
    """An area in cells."""
    return area_m2 / CELL_M2
