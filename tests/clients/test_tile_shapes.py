"""What tiles draw against what is stored: areas and outlines to a pixel, near, far and at the edges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from psycopg import Connection

from db import landcover, runs
from db.connection import connect
from db.embedded import Cluster
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, ewkb
from tests.clients.tiles import GENERAL_ZOOM, decode, fetch, pixel_m, tile_at, tile_box
from tests.conftest import copied_database

WEST, SOUTH = 84.0, 43.0
WIDTH, HEIGHT = 0.5, 0.4
TO_MERCATOR = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
ZOOMS = (7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 21)
MINE = shapely.box(WEST + 0.06, SOUTH + 0.05, WEST + 0.44, SOUTH + 0.35)
PLACE = shapely.Point(WEST + 0.25, SOUTH + 0.2)
"""On the border of two classes, more or less; tiles of every zoom are asked for here."""

EDGES = {
    "north-west": shapely.box(-180, 84.5, -179.2, 85.2),
    "north-east": shapely.box(179.2, 84.5, 180, 85.2),
    "south-west": shapely.box(-180, -85.2, -179.2, -84.5),
    "south-east": shapely.box(179.2, -85.2, 180, -84.5),
}
"""Ground that goes on beyond the end of Web Mercator, at 85.06 degrees."""

Shapes = dict[Any, shapely.Geometry]


def border(place: int, shift: float) -> list[tuple[float, float]]:
    """A ragged line from south to north, of 1,500 vertices."""
    t = np.linspace(0, 1, 1500)
    lon = WEST + WIDTH * place / 4 + shift + 0.012 * np.sin(14 * t) + 0.003 * np.sin(150 * t)
    return list(zip(lon.tolist(), (SOUTH + HEIGHT * t).tolist(), strict=True))


def island(lon: float) -> shapely.Polygon:
    """Ragged ground of about 5 km, of 800 vertices."""
    angle = np.linspace(0, 2 * math.pi, 800, endpoint=False)
    radius = 0.03 + 0.004 * np.sin(25 * angle)
    return shapely.Polygon(
        np.column_stack([WEST + lon + radius * np.cos(angle), SOUTH + 0.2 + radius * np.sin(angle)])
    )


def strips(shift: float, *, grown: bool) -> Shapes:
    """Four classes beside each other, by letter, an island of a fifth, and one that is grown over or bare."""
    edges = [
        [(WEST, SOUTH), (WEST, SOUTH + HEIGHT)],
        *(border(place, shift) for place in (1, 2, 3)),
        [(WEST + WIDTH, SOUTH), (WEST + WIDTH, SOUTH + HEIGHT)],
    ]
    found: Shapes = {
        letter: shapely.Polygon([*left, *reversed(right)]).difference(island(0.19))
        for letter, left, right in zip("vpdw", edges, edges[1:], strict=False)
    }
    if grown:
        found["v"] = shapely.union_all([found["v"], island(0.31)])
        found["d"] = found["d"].difference(island(0.31))
    return {**found, "t": island(0.19)}


def many(shape: shapely.Geometry) -> shapely.MultiPolygon:
    return shape if isinstance(shape, shapely.MultiPolygon) else shapely.MultiPolygon([shape])


def publish(conn: Connection[Any], model: int, year: int, shapes: Sequence[tuple[str, Any]]) -> None:
    seen = many(shapely.union_all([shape for _letter, shape in shapes]))
    scene = add_scene(conn, f"of-{year}-{shapes[0][1].centroid}", date(year, 6, 1), seen)
    run = runs.request_interpretation(conn, scene, model)
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(
        conn, run.run_id, year, [(CODES[letter], ewkb(many(shape)), 0.9) for letter, shape in shapes]
    )
    landcover.insert_observation(conn, run.run_id, year, ewkb(seen))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)


@pytest.fixture(scope="module")
def country(cluster: Cluster, template_database: str) -> Iterator[Connection[Any]]:
    """40 km of ground in two years, a mine in it, and in a third year ground at the corners of the world."""
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        model = add_model(conn, "net")
        add_mine(conn, "M1", many(MINE))
        publish(conn, model, 2021, list(strips(0.0, grown=True).items()))
        publish(conn, model, 2022, list(strips(0.02, grown=False).items()))
        for shape in EDGES.values():
            publish(conn, model, 2023, [("v", shape)])
        conn.commit()
        conn.execute("analyze")
        conn.commit()
        yield conn


def mercator(shape: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(shape, lambda xy: np.column_stack(TO_MERCATOR.transform(xy[:, 0], xy[:, 1])))


def stored(conn: Connection[Any], question: str) -> Shapes:
    """Shapes of the tables by name, in EPSG:3857."""
    return {name: mercator(shapely.from_wkb(bytes(wkb))) for name, wkb in conn.execute(question.encode())}


def gathered(layer: Sequence[tuple[dict[str, Any], shapely.Geometry]], name: str) -> Shapes:
    found: dict[str, list[shapely.Geometry]] = {}
    for attributes, shape in layer:
        found.setdefault(attributes[name], []).append(shape)
    return {key: shapely.union_all(shapes) for key, shapes in found.items()}


def inside(shape: shapely.Geometry, box: shapely.Polygon) -> shapely.Geometry:
    """The part of a shape within a box, polygons only."""
    parts = shapely.get_parts(shapely.intersection(shape, box))
    return shapely.union_all([part for part in parts if part.area > 0])


def assert_drawn_as_stored(drawn: Shapes, true: Shapes, tile: tuple[int, int, int]) -> None:
    """Names, areas and outlines within the tile.

    Generalised outlines are rounded to whole pixels, each zoom from the next larger: by half a pixel, a
    quarter and so on, by less than one along each axis; a pixel that stands for less has its far corner a
    diagonal away. Further in a quarter of a pixel is what is left out.
    """
    z, _x, _y = tile
    pixel = pixel_m(z)
    box = tile_box(tile)
    middle = box.buffer(-2 * pixel)  # further out outlines are the tile's own edges
    is_general = z <= GENERAL_ZOOM
    true = {name: part for name, shape in true.items() if (part := inside(shape, box)).area > 0}
    seen = {name: part for name, shape in drawn.items() if (part := inside(shape, box)).area > 0}
    assert set(seen) == set(true)
    for name, visible in seen.items():
        wanted = true[name]
        border_area = pixel * wanted.length
        assert abs(visible.area - wanted.area) <= (0.3 if is_general else 0.1) * border_area, name
        assert visible.symmetric_difference(wanted).area <= (0.5 if is_general else 0.1) * border_area, name
        assert farthest(visible, wanted, middle) <= (1.6 if is_general else 0.5) * pixel, name
        if not is_general and wanted.area > 0.25 * border_area:  # or narrow parts fall together
            assert farthest(wanted, visible, middle) <= 0.5 * pixel, name


def farthest(one: shapely.Geometry, other: shapely.Geometry, middle: shapely.Polygon) -> float:
    """How far the outline of one shape is from that of another at most, in the middle of a tile, m."""
    outline = shapely.intersection(one.boundary, middle)
    points = shapely.points(shapely.get_coordinates(shapely.segmentize(outline, middle.length / 4000)))
    return float(shapely.distance(points, other.boundary).max(initial=0.0))


@pytest.mark.parametrize("z", ZOOMS)
@pytest.mark.parametrize("year", [2021, 2022])
def test_land_cover_is_drawn_where_it_is_stored(
    country: Connection[Any], tmp_path: Path, z: int, year: int
) -> None:
    tile = tile_at(z, PLACE)
    layers = decode(fetch(country, "landcover_tile", tile, year), tile, tmp_path)
    true = stored(
        country, f"select land_class, st_asbinary(geom) from lode_api.landcover_map where year = {year}"
    )
    assert len(true) == 5
    assert_drawn_as_stored(gathered(layers["landcover"], "land_class"), true, tile)


@pytest.mark.parametrize("z", ZOOMS)
def test_damage_and_change_are_drawn_where_they_are_stored(
    country: Connection[Any], tmp_path: Path, z: int
) -> None:
    tile = tile_at(z, PLACE)
    layers = decode(fetch(country, "damage_tile", tile, 2022), tile, tmp_path)
    for layer, table, year, kind in (
        ("damage", "mine_damage", "year", "damage_kind"),
        ("change", "damage_change", "to_year", "change"),
    ):
        name, key = (kind, kind) if z <= GENERAL_ZOOM else ("ogc_fid", f"{table}_id")
        true = stored(
            country,
            f"select {key}, st_asbinary(st_union(geom)) from lode.{table} where {year} = 2022 group by 1",
        )
        assert len(true) >= (2 if layer == "damage" else 3)
        assert_drawn_as_stored(gathered(layers[layer], name), true, tile)


@pytest.mark.parametrize("z", [0, 1, 2, 5, 7, 8, 10, 11, 13])
@pytest.mark.parametrize("corner", EDGES)
def test_ground_at_the_corners_of_the_world(
    country: Connection[Any], tmp_path: Path, z: int, corner: str
) -> None:
    last = 2**z - 1
    tile = (z, last if corner.endswith("east") else 0, last if corner.startswith("south") else 0)
    layers = decode(fetch(country, "landcover_tile", tile, 2023), tile, tmp_path)
    pixel = pixel_m(z)
    drawn = inside(shapely.union_all([shape for _attributes, shape in layers["landcover"]]), tile_box(tile))
    shown = EDGES[corner].intersection(shapely.box(-180, -85.1, 180, 85.1))
    true = inside(mercator(shown), tile_box(tile))
    assert true.area > 0
    if true.area < 64 * pixel**2:  # gathered in cells of 4 x 4 pixels
        assert drawn.distance(true) <= 4 * pixel
        return
    assert abs(drawn.area - true.area) <= 0.5 * pixel * true.length
    assert drawn.hausdorff_distance(true) <= 1.5 * pixel


def test_the_deepest_tile_is_filled_by_the_ground_it_lies_in(
    country: Connection[Any], tmp_path: Path
) -> None:
    tile = tile_at(24, shapely.Point(WEST + 0.19, SOUTH + 0.2))
    [(attributes, shape)] = decode(fetch(country, "landcover_tile", tile, 2021), tile, tmp_path)["landcover"]
    assert attributes["land_class"] == "tailings_pond"
    assert tile_box(tile).difference(shape).area <= 1e-6 * tile_box(tile).area
