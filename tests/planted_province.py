"""A province of mines whose change between two years is planted: each mine holds strips of known area.

Mines lie in the cells of a grid in EPSG:4326, one each. The strips of a mine stand side by side on the same
two parallels; a strip has a class in 2021 and one in 2023, which a network maps, or which an interpreter
draws where no network knows the class. The rest of the cell is vegetation, so that everything is observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from psycopg import Connection
from shapely import MultiPolygon

from db import landcover, runs
from tests.catalogue_rows import add_model, add_scene, ewkb

YEARS = (2021, 2023)
MINES, OPEN_CAST = 1_555, 1_325
CLAIMING = 25
"""Every so many mines one claims half of its neighbour's ground as well."""

NEW_KM2 = {"excavated": 49.09, "occupied": 66.26}
TREATED_KM2 = {"excavated": 3.13, "occupied": 6.83, "subsided": 1.21}
KEPT_KM2 = {"excavated": 61.0, "occupied": 74.0, "subsided": 2.0}
CONVERTED_KM2 = 5.0
"""From pit to dump: neither new nor treated."""

VEGETATION, WATER, LIVING_AREA, SQUARE, DUMP, PIT, TAILINGS = 1, 2, 3, 4, 5, 6, 7
SUBSIDENCE, TREATED_PIT, TREATED_DUMP, TREATED_SUBSIDENCE = 8, 9, 10, 12
DRAWN = (SUBSIDENCE, TREATED_PIT, TREATED_DUMP, TREATED_SUBSIDENCE)
"""Classes that no network maps: a label holds them, and the network sees vegetation."""

COLUMNS = 40
CELL_DEG = (0.06, 0.03)
WEST, SOUTH = 82.0, 42.5
STRIP_DEG = 0.012
MARGIN_DEG = 0.002

_GEOD = pyproj.Geod(ellps="WGS84")
Areas = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Strip:
    """Ground of one mine that is of one class in each year."""

    mine: int
    before: int
    after: int
    ground: shapely.Polygon


@dataclass(frozen=True)
class Province:
    """What is planted; index of a mine: row of the grid times ``COLUMNS`` plus column, as in its code.

    Attributes:
        boundaries: of the mines.
        is_open_cast: by mine.
        strips: of all mines.
        spoil: ground that is vegetation in 2021 and pit in 2023, outside every mine.

    """

    boundaries: list[MultiPolygon]
    is_open_cast: npt.NDArray[np.bool_]
    strips: list[Strip]
    spoil: list[shapely.Polygon]


def cell(index: int) -> shapely.Polygon:
    """The cell of the grid in which a mine lies."""
    row, column = divmod(index, COLUMNS)
    west, south = WEST + column * CELL_DEG[0], SOUTH + row * CELL_DEG[1]
    return shapely.box(west, south, west + CELL_DEG[0], south + CELL_DEG[1])


def area_m2(ground: shapely.Polygon) -> float:
    """Geodesic area on WGS 84, m2."""
    return abs(_GEOD.geometry_area_perimeter(ground)[0])


def code(index: int) -> str:
    """Code of a mine."""
    return f"T{index:04d}"


def _split(random: np.random.Generator, total_km2: float, takes_part: npt.NDArray[np.bool_]) -> Areas:
    """Areas by mine, m2, that add up to the total: a few large mines, many small ones."""
    weights = random.lognormal(0.0, 0.8, MINES) * takes_part
    return np.asarray(total_km2 * 1e6 * weights / weights.sum())


def plant() -> Province:
    """The province: always the same."""
    random = np.random.default_rng(2021)
    everyone = np.ones(MINES, bool)
    is_open_cast = np.zeros(MINES, bool)
    is_open_cast[random.permutation(MINES)[:OPEN_CAST]] = True
    some = [random.random(MINES) < share for share in (0.3, 0.4, 0.4, 0.2)]
    index = np.arange(MINES)

    def of(areas: Areas, before: Any, after: Any) -> tuple[Areas, Areas, Areas]:
        return areas, np.broadcast_to(before, MINES), np.broadcast_to(after, MINES)

    occupying = np.choose(index % 4, [DUMP, SQUARE, LIVING_AREA, TAILINGS])
    rows = [
        of(_split(random, KEPT_KM2["excavated"], is_open_cast), PIT, PIT),
        of(
            _split(random, NEW_KM2["excavated"], is_open_cast),
            VEGETATION,
            np.where(index % 7 == 0, WATER, PIT),
        ),
        of(_split(random, KEPT_KM2["occupied"], everyone), occupying, occupying),
        of(_split(random, NEW_KM2["occupied"], everyone), VEGETATION, occupying),
        of(
            _split(random, TREATED_KM2["excavated"], is_open_cast & some[0]),
            PIT,
            np.where(index % 3 == 0, TREATED_PIT, VEGETATION),
        ),
        of(
            _split(random, TREATED_KM2["occupied"], some[1]),
            DUMP,
            np.where(index % 3 == 1, TREATED_DUMP, VEGETATION),
        ),
        of(
            _split(random, TREATED_KM2["subsided"], ~is_open_cast & some[2]),
            SUBSIDENCE,
            np.where((index % 2 == 0) | (index % CLAIMING == 1), TREATED_SUBSIDENCE, VEGETATION),
        ),
        of(_split(random, KEPT_KM2["subsided"], ~is_open_cast & some[2]), SUBSIDENCE, SUBSIDENCE),
        of(_split(random, CONVERTED_KM2, is_open_cast & some[3]), PIT, DUMP),
    ]
    strips: list[Strip] = []
    boxes: list[shapely.Polygon] = []
    for mine in range(MINES):
        west, south, _east, _north = cell(mine).bounds
        x, y = west + 2 * MARGIN_DEG, south + 2 * MARGIN_DEG
        for areas, before, after in rows:
            if areas[mine] > 0:
                width = _width_deg(x, y, areas[mine])
                ground = shapely.box(x, y, x + width, y + STRIP_DEG)
                strips.append(Strip(mine, int(before[mine]), int(after[mine]), ground))
                x += width
        box = shapely.box(west + MARGIN_DEG, south + MARGIN_DEG, x + MARGIN_DEG, y + STRIP_DEG + MARGIN_DEG)
        boxes.append(box)
    return Province(
        boundaries=[_boundary(mine, boxes) for mine in range(MINES)],
        is_open_cast=is_open_cast,
        strips=strips,
        spoil=[_spoil(mine) for mine in range(0, MINES, 10)],
    )


def _width_deg(west: float, south: float, area_m2: float) -> float:
    """Width at which a strip has this geodesic area: area goes with width, so one correction will do."""
    guess = 0.001
    for _ in range(2):
        lons, lats = (
            [west, west + guess, west + guess, west],
            [south, south, south + STRIP_DEG, south + STRIP_DEG],
        )
        guess *= area_m2 / abs(_GEOD.polygon_area_perimeter(lons, lats)[0])
    return guess


def _boundary(mine: int, boxes: list[shapely.Polygon]) -> MultiPolygon:
    """A mine's own box; every CLAIMING-th mine claims the western half of its neighbour's as well."""
    parts = [boxes[mine]]
    if mine % CLAIMING == 0 and (mine + 1) % COLUMNS and mine + 1 < MINES:
        west, south, east, north = boxes[mine + 1].bounds
        parts.append(shapely.box(west, south, (west + east) / 2, north))
    return MultiPolygon(parts)


def _spoil(mine: int) -> shapely.Polygon:
    _west, _south, east, north = cell(mine).bounds
    return shapely.box(east - 2 * MARGIN_DEG, north - 2 * MARGIN_DEG, east - MARGIN_DEG, north - MARGIN_DEG)


def landcover_of(province: Province, year: int) -> list[tuple[int, shapely.Polygon]]:
    """Class and outline of everything that a network maps in a year; together they fill the grid."""
    found = []
    taken: dict[int, list[shapely.Polygon]] = {}
    for strip in province.strips:
        mapped = strip.before if year == YEARS[0] else strip.after
        found.append((VEGETATION if mapped in DRAWN else mapped, strip.ground))
        taken.setdefault(strip.mine, []).append(strip.ground)
    if year == YEARS[1]:
        for mine, ground in zip(range(0, MINES, 10), province.spoil, strict=True):
            found.append((PIT, ground))
            taken[mine].append(ground)
    for index in range(-(-MINES // COLUMNS) * COLUMNS):
        rest = shapely.difference(cell(index), shapely.union_all(taken.get(index, [])))
        found.extend((VEGETATION, part) for part in shapely.get_parts(rest))
    return found


def insert_mines(conn: Connection[Any], province: Province) -> None:
    """All mines, in one statement."""
    conn.execute(
        "insert into lode.mine (code, name, mining_method, boundary)"
        " select code, 'mine ' || code, method, boundary::geometry"
        " from unnest(%s::text[], %s::text[], %s::text[]) as m(code, method, boundary) order by code",
        (
            [code(mine) for mine in range(MINES)],
            ["open_cast" if is_open_cast else "underground" for is_open_cast in province.is_open_cast],
            [ewkb(boundary).hex() for boundary in province.boundaries],
        ),
    )


def insert_labels(conn: Connection[Any], province: Province) -> None:
    """What interpreters drew of classes that no network maps, in one statement."""
    drawn = [
        (class_code, ewkb(MultiPolygon([strip.ground])).hex(), date(year, 7, 1))
        for strip in province.strips
        for year, class_code in zip(YEARS, (strip.before, strip.after), strict=True)
        if class_code in DRAWN
    ]
    conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, interpreter)"
        " select land_class_code, geom::geometry, valid_on, 'planted'"
        " from unnest(%s::integer[], %s::text[], %s::date[]) as l(land_class_code, geom, valid_on)",
        [list(column) for column in zip(*drawn, strict=True)],
    )


def publish_year(
    conn: Connection[Any], province: Province, year: int, edges: list[tuple[float, float]]
) -> None:
    """Publish a year as scenes side by side that overlap, each in a transaction of its own, as workers do.

    The planner's statistics are gathered after each, as autovacuum would between two runs of a network.

    Args:
        conn: connection.
        province: what to publish.
        year: which year of it.
        edges: western and eastern edge of each scene, degrees; together they reach from rim to rim.

    """
    model_id = add_model(conn, f"net {year}")
    rows = landcover_of(province, year)
    codes = np.array([class_code for class_code, _ground in rows])
    grounds = np.array([ground for _code, ground in rows], dtype=object)
    _west, south, _east, north = shapely.total_bounds(grounds)
    for number, (west, east) in enumerate(edges):
        outline = shapely.box(west, south, east, north)
        seen = np.flatnonzero(shapely.intersects(grounds, outline))
        parts = shapely.intersection(grounds[seen], outline)
        scene_id = add_scene(conn, f"{year}-{number}", date(year, 6, 1 + number), MultiPolygon([outline]))
        _publish(conn, scene_id, model_id, year, list(zip(codes[seen], parts, strict=True)), outline)
        conn.commit()
        conn.execute("analyze")
        conn.commit()


def _publish(
    conn: Connection[Any],
    scene_id: int,
    model_id: int,
    year: int,
    rows: list[tuple[int, shapely.Geometry]],
    outline: shapely.Polygon,
) -> None:
    run = runs.request_interpretation(conn, scene_id, model_id)
    claim = runs.claim_run(conn, run.run_id, device="planted", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(
        conn,
        run.run_id,
        year,
        [(int(code), ewkb(_areal(part)), 0.9) for code, part in rows if part.area > 0],
    )
    landcover.insert_observation(conn, run.run_id, year, ewkb(MultiPolygon([outline])))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)


def _areal(ground: shapely.Geometry) -> MultiPolygon:
    return MultiPolygon([part for part in shapely.get_parts(ground) if isinstance(part, shapely.Polygon)])
