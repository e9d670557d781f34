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
MAPPED = frozenset(range(8))
"""Classes that networks map; the others come from interpreters alone."""

BY_LABEL = -2
"""Instead of a scene's number: an interpreter decided the class."""

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
    mapped: frozenset[int] = MAPPED


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
        return self._year_ground(year)[0]

    def _year_ground(self, year: int) -> tuple[Cells, Cells]:
        """Class of each cell, and the number of the scene that says so."""
        ground = np.full((ROWS, COLUMNS), NOT_SEEN)
        origin = np.full((ROWS, COLUMNS), NOT_SEEN)
        runs = [
            (number, seen)
            for number, seen in enumerate(self.scenes)
            if seen.is_counted and seen.acquired_on.year == year
        ]
        runs.sort(
            key=lambda run: (
                run[1].priority,
                round(100 * (1 - run[1].cloud_fraction)),
                run[1].acquired_on,
                run[0],
            )
        )
        for number, seen in runs:
            is_seen = seen.codes != NOT_SEEN
            ground[is_seen] = seen.codes[is_seen]
            origin[is_seen] = number
        drawn = [label for label in self.labels if label.valid_on.year == year]
        for label in sorted(drawn, key=lambda each: each.valid_on):
            ground[label.mask] = label.code
            origin[label.mask] = BY_LABEL
        return ground, origin

    def could_judge(self, inside: Mask, year: int, land_class: int) -> Mask:
        """Cells that a year saw and where its "undamaged" would mean that they are not of this class."""
        ground, origin = self._year_ground(year)
        drawn = inside & (ground == land_class) & (origin == BY_LABEL)
        judged = (origin == BY_LABEL) | (ground != NOT_SEEN) & np.isin(ground, list(DAMAGE))
        for number, seen in enumerate(self.scenes):
            if land_class in seen.mapped or (land_class not in MAPPED and drawn.any()):
                judged |= origin == number
        return judged

    def seen_years(self, inside: Mask) -> list[int]:
        """Years that saw any of a mine, ascending."""
        return [year for year in self.years() if (inside & (self.year_map(year) != NOT_SEEN)).any()]

    def judged_cells(self, inside: Mask, year: int, land_class: int) -> int:
        """Cells of a mine whose class was decided by an interpreter, or a network that maps this class."""
        ground, origin = self._year_ground(year)
        by_run = {
            number: int((inside & (origin == number)).sum())
            for number, seen in enumerate(self.scenes)
            if land_class in seen.mapped
        }
        if not any(by_run.values()) and not (inside & (ground == land_class)).any():
            return 0
        return sum(by_run.values()) + int((inside & (origin == BY_LABEL)).sum())

    def saw_half(self, inside: Mask, year: int) -> bool:
        """Whether a year saw half of a mine, and could judge every class of damage known there by then."""
        mapped = [code for code in DAMAGE if code in MAPPED]
        before = [self.year_map(each) for each in self.seen_years(inside) if each <= year]
        known = [code for code in mapped if any((inside & (ground == code)).any() for ground in before)]
        judged = [self.judged_cells(inside, year, code) for code in known or mapped]
        seen = int((inside & (self.year_map(year) != NOT_SEEN)).sum())
        return 2 * min(seen, min(judged) if known else max(judged)) >= inside.sum()

    def pairs(self, inside: Mask) -> list[tuple[int, int]]:
        """Years that are compared: neighbours, and bridges over years that saw less than half of a mine."""
        seen = self.seen_years(inside)
        half = {year: self.saw_half(inside, year) for year in seen}
        found = list(pairwise(seen))
        for before, year in pairwise(seen):
            earlier = [each for each in seen if each < before and half[each]]
            if half[year] and not half[before] and earlier:
                found.append((earlier[-1], year))
        return found

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
        """Cells by mine, pair of years, class before and class after, where both years could judge."""
        found: dict[tuple[str, int, int, int, int], int] = {}
        for code, inside in self.mines.items():
            for before, after in self.pairs(inside):
                was, is_now = self.year_map(before), self.year_map(after)
                compared = inside & (was != NOT_SEEN) & (is_now != NOT_SEEN)
                for land_class in DAMAGE:
                    compared &= (was != land_class) | self.could_judge(inside, after, land_class)
                    if land_class in MAPPED:
                        compared &= (is_now != land_class) | self.could_judge(inside, before, land_class)
                for pair in zip(was[compared], is_now[compared], strict=True):
                    key = (code, before, after, int(pair[0]), int(pair[1]))
                    found[key] = found.get(key, 0) + 1
        return found

    def judged(self, inside: Mask, year: int) -> Mask:
        """Cells that a year saw, and could judge whether damage of earlier years was still there."""
        seen = inside & (self.year_map(year) != NOT_SEEN)
        for earlier in self.seen_years(inside):
            if earlier < year:
                for land_class in DAMAGE:
                    was = self.year_map(earlier) == land_class
                    seen &= ~was | self.could_judge(inside, year, land_class)
        return seen


def drawing(codes: Cells, corner: tuple[int, int]) -> str:
    """Class codes as a drawing whose upper left cell lies at ``corner`` (row, column) of the grid."""
    row, column = corner
    lines = ["." * column + "".join(LETTERS.get(int(code), ".") for code in line) for line in codes]
    return "\n".join(["."] * row + lines)


def area_of(mask: Mask, corner: tuple[int, int]) -> Any:
    """Cells of a mask as a MultiPolygon in EPSG:4326."""
    return cells(drawing(np.where(mask, 1, NOT_SEEN), corner), "v")


def cells_within(shape: Any, corner: tuple[int, int]) -> Mask:
    """The cells whose centre lies in a shape in EPSG:4326."""
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    for row, column in np.ndindex(mask.shape):
        one = np.zeros_like(mask)
        one[row, column] = True
        mask[row, column] = shape.contains(area_of(one, corner).centroid)
    return mask


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
    mapped = MAPPED
    if random.random() < 0.3:  # a network that knows fewer classes finds the others undamaged
        mapped = MAPPED - {int(random.choice([2, 5])), int(random.choice([6, 7]))}
        codes[(codes != NOT_SEEN) & ~np.isin(codes, list(mapped))] = 0
    return Seen(codes, day, int(random.choice([0, 0, 0, 1])), cloud, mapped=mapped)


def random_label(random: np.random.Generator, year: int) -> Drawn:
    """Subsidence or treated ground that an interpreter drew."""
    day = date(year, int(random.integers(1, 13)), int(random.integers(1, 29)))
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    top, left = random.integers(0, ROWS - 1), random.integers(0, COLUMNS - 1)
    mask[top : top + 2, left : left + 2] = True
    return Drawn(mask, int(random.choice([8, 9, 10])), day)


def store(conn: Connection[Any], world: World, name: str, corner: tuple[int, int]) -> None:
    """Put a world into the database, with its own products and codes of mines, at a corner of the grid."""
    for code, inside in world.mines.items():
        add_mine(conn, code, area_of(inside, corner))
    for number, seen in enumerate(world.scenes):
        store_seen(conn, seen, f"{name}-{number}", corner)
    for label in world.labels:
        add_label(conn, label.code, area_of(label.mask, corner), label.valid_on)


def store_seen(conn: Connection[Any], seen: Seen, product: str, corner: tuple[int, int]) -> int:
    """A scene and its published run; returns the scene's key."""
    name = "net " + "".join(map(str, sorted(seen.mapped)))
    known = conn.execute("select model_id from lode.model where name = %s", (name,)).fetchone()
    model = int(known[0]) if known else add_model(conn, name, tuple(sorted(seen.mapped)))
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
