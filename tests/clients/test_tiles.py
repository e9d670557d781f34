"""Vector tiles: what is in them, decoded by GDAL and held against the polygons; how servers find them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import psycopg
import pytest
import shapely

from tests.clients.tiles import (
    CENTRE,
    GENERAL_ZOOM,
    MARTIN_FUNCTIONS,
    WORLD_M,
    decode,
    fetch,
    tile_at,
    tile_box,
)
from tests.clients.world import EARLIER, LATER, World
from tests.grids import CELL_M2, cells

KEYS = {
    "v": "vegetation",
    "p": "open_pit",
    "d": "dump",
    "w": "water",
    "t": "tailings_pond",
    "b": "background",
}


def ground_m2(shape: shapely.Geometry) -> float:
    """Area on the ground of a small shape in Web Mercator near the district."""
    return shape.area * math.cos(math.radians(CENTRE.y)) ** 2


def unit_m(z: int) -> float:
    """Ground under one unit of a tile: what coordinates are rounded to."""
    return WORLD_M * math.cos(math.radians(CENTRE.y)) / 2**z / 4096


def close(shape: shapely.Geometry, cell_count: int, z: int) -> bool:
    """Whether an area is what the cells have, but for the rounding of its outline."""
    slack = shape.length * math.cos(math.radians(CENTRE.y)) * unit_m(z)
    return abs(ground_m2(shape) - cell_count * CELL_M2) <= slack + 0.005 * cell_count * CELL_M2


@pytest.mark.parametrize("z", range(GENERAL_ZOOM + 1, 15))
@pytest.mark.parametrize(("year", "drawing"), [(2021, EARLIER), (2022, LATER)])
def test_every_class_has_its_area_and_no_ground_is_drawn_twice(
    world: World, tmp_path: Path, z: int, year: int, drawing: str
) -> None:
    tiles: dict[str, list[shapely.Geometry]] = {}
    corners = [
        shapely.Point(x, y) for x in CENTRE.buffer(0.02).bounds[::2] for y in CENTRE.buffer(0.02).bounds[1::2]
    ]
    for tile in {tile_at(z, corner) for corner in [CENTRE, *corners]}:
        inside = tile_box(tile)
        for attributes, shape in decode(fetch(world.conn, "landcover_tile", tile, year), tile, tmp_path).get(
            "landcover", []
        ):
            tiles.setdefault(attributes["land_class"], []).append(shapely.intersection(shape, inside))
    counts = {KEYS[letter]: drawing.count(letter) for letter in KEYS if letter in drawing}
    assert set(tiles) == set(counts)
    for name, shapes in tiles.items():
        assert close(shapely.union_all(shapes), counts[name], z), name
    drawn = [shape for shapes in tiles.values() for shape in shapes]
    overlap = sum(shape.area for shape in drawn) - shapely.union_all(drawn).area
    assert overlap * math.cos(math.radians(CENTRE.y)) ** 2 <= 0.005 * 32 * CELL_M2


def test_attributes_are_those_of_the_map(world: World, tmp_path: Path) -> None:
    tile = tile_at(13)
    found = decode(fetch(world.conn, "landcover_tile", tile), tile, tmp_path)["landcover"]
    rows = world.conn.execute(
        "select ogc_fid, land_class_code, land_class, land_class_name, land_class_name_zh, colour, area_m2,"
        " mean_probability from lode_api.landcover_map where year = 2022"
    ).fetchall()
    published = {row[0]: row[1:] for row in rows}
    assert found
    for attributes, _shape in found:
        row = published[attributes["ogc_fid"]]
        assert attributes["mvt_id"] == attributes["ogc_fid"]
        assert tuple(attributes[name] for name in (
            "land_class_code", "land_class", "land_class_name", "land_class_name_zh", "colour"
        )) == row[:5]  # fmt: skip
        assert (attributes["area_m2"], attributes["mean_probability"]) == pytest.approx(row[5:])


def test_without_a_year_it_is_the_newest(world: World) -> None:
    for function in ("landcover_tile", "damage_tile"):
        newest = fetch(world.conn, function, tile_at(13))
        assert newest == fetch(world.conn, function, tile_at(13), 2022)
        assert newest != fetch(world.conn, function, tile_at(13), 2021)
        for unknown in (1999, 0, -5, 2**31 - 1):
            assert fetch(world.conn, function, tile_at(13), unknown) == b""
        assert fetch(world.conn, function, (13, 0, 0)) == b""


def test_the_same_tile_has_the_same_bytes(world: World) -> None:
    for z in (0, 5, 10, 13):
        assert fetch(world.conn, "landcover_tile", tile_at(z)) == fetch(
            world.conn, "landcover_tile", tile_at(z)
        )


@pytest.mark.parametrize("z", range(0, 20, 3))
@pytest.mark.parametrize("function", ["landcover_tile", "damage_tile"])
def test_nothing_vanishes_at_small_scale(world: World, tmp_path: Path, function: str, z: int) -> None:
    tile = tile_at(z, cells("..\n.p", "p").centroid)
    layers = decode(fetch(world.conn, function, tile, 2022), tile, tmp_path)
    assert set(layers) == ({"landcover"} if function == "landcover_tile" else {"damage", "change"})
    for features in layers.values():
        assert [shape.wkt for _attributes, shape in features if not shape.area > 0] == []


def test_damage_and_its_change(world: World, tmp_path: Path) -> None:
    tile = tile_at(13)
    layers = decode(fetch(world.conn, "damage_tile", tile, 2022), tile, tmp_path)
    rows = world.conn.execute(
        "select d.mine_damage_id, m.code, m.name, d.damage_kind, d.area_m2, round(d.area_m2 / %s)::integer"
        " from lode.mine_damage d join lode.mine m using (mine_id) where d.year = 2022 order by 1",
        (CELL_M2,),
    ).fetchall()
    assert len(rows) >= 2
    found = {attributes["ogc_fid"]: (attributes, shape) for attributes, shape in layers["damage"]}
    assert sorted(found) == [row[0] for row in rows]
    for key, code, name, kind, area, count in rows:
        attributes, shape = found[key]
        assert (attributes["mine_code"], attributes["mine_name"], attributes["damage_kind"]) == (
            code,
            name,
            kind,
        )
        assert attributes["year"] == 2022
        assert attributes["area_m2"] == pytest.approx(area)
        assert close(shape, count, 13)
    changes = world.conn.execute(
        "select damage_change_id, code, change, from_year, to_year, round(area_m2 / %s)::integer"
        " from lode.damage_change where to_year = 2022 order by 1",
        (CELL_M2,),
    ).fetchall()
    assert {row[2] for row in changes} >= {"new", "persisting"}
    drawn = {attributes["ogc_fid"]: (attributes, shape) for attributes, shape in layers["change"]}
    assert sorted(drawn) == [row[0] for row in changes]
    for key, code, change, from_year, to_year, count in changes:
        attributes, shape = drawn[key]
        got = tuple(attributes[name] for name in ("code", "change", "from_year", "to_year"))
        assert got == (code, change, from_year, to_year)
        assert close(shape, count, 13)


@pytest.mark.parametrize(
    "tile",
    [
        (0, 1, 0), (0, 0, 1), (0, -1, 0), (3, 0, 8), (3, -1, 0), (3, 8, 7), (3, 3, -1),
        (-1, 0, 0), (25, 0, 0), (24, 2**24, 0), (31, 2**31 - 1, 2**31 - 1), (-(2**31), -(2**31), -(2**31)),
        (None, 0, 0), (3, None, 0), (3, 0, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", ["landcover_tile", "damage_tile"])
@pytest.mark.parametrize("year", [2022, None])
def test_beyond_the_edge_of_the_world_a_tile_is_empty(
    world: World, function: str, tile: Any, year: int | None
) -> None:
    """Whoever pans there asks for such tiles, and an error each time fills the server's log."""
    assert fetch(world.conn, function, tile, year) == b""
    row = world.conn.execute(f"select lode_api.{function}_query(%s, %s, %s)", tile).fetchone()
    assert row == (b"",)


@pytest.mark.parametrize(
    ("query", "year"),
    [({}, None), ({"year": "2021"}, 2021), ({"year": 2021}, 2021), ({"year": ""}, None)],
)
@pytest.mark.parametrize("function", ["landcover_tile", "damage_tile"])
def test_martins_query_names_the_year(
    world: World, function: str, query: dict[str, Any], year: int | None
) -> None:
    row = world.conn.execute(
        f"select lode_api.{function}_query(%s, %s, %s, %s::json)", (*tile_at(13), json.dumps(query))
    ).fetchone()
    assert row is not None
    assert row[0] == fetch(world.conn, function, tile_at(13), year)


def test_a_query_with_no_year_in_it_is_refused(world: World) -> None:
    with pytest.raises(
        psycopg.errors.InvalidParameterValue, match="year is last, but a year has four digits"
    ):
        world.conn.execute('select lode_api.landcover_tile_query(0, 0, 0, \'{"year": "last"}\')')
    world.conn.rollback()


def test_pg_tileserv_finds_them(world: World) -> None:
    """It takes every function that begins z, x, y as integers, returns bytea and may be executed."""
    rows = world.conn.execute(
        "select p.proname, p.proargnames[4:], pg_get_expr(p.proargdefaults, 0),"
        " obj_description(p.oid, 'pg_proc') from pg_proc p where p.pronamespace = 'lode_api'::regnamespace"
        " and array[p.proargtypes[0], p.proargtypes[1], p.proargtypes[2]] = array[23, 23, 23]::oid[]"
        " and p.proargnames[1:3] = '{z,x,y}' and p.prorettype = 'bytea'::regtype"
        " and has_function_privilege(p.oid, 'execute')"
    ).fetchall()
    found = {name: (rest, default, comment) for name, rest, default, comment in rows}
    assert found["landcover_tile"][:2] == (["year"], "NULL::integer")
    assert found["damage_tile"][:2] == (["year"], "NULL::integer")
    assert all(comment for _rest, _default, comment in found.values())


def test_pg_tileserv_names_its_arguments(world: World) -> None:
    """It calls by name, with text for what comes from the address."""
    z, x, y = tile_at(13)
    row = world.conn.execute(
        'select "lode_api"."landcover_tile"(x => %s, y => %s, z => %s, year => %s)', (x, y, z, "2021")
    ).fetchone()
    assert row is not None
    assert row[0] == fetch(world.conn, "landcover_tile", (z, x, y), 2021)


def test_martin_finds_them_and_reads_their_comments(world: World) -> None:
    """It takes functions of three integers z, x, y and at most a json besides; their comment is TileJSON."""
    rows = world.conn.execute(MARTIN_FUNCTIONS).fetchall()
    assert [name for name, _comment in rows] == ["damage_tile_query", "landcover_tile_query"]
    for name, comment in rows:
        description = json.loads(comment)
        assert description["description"]
        content = world.conn.execute(f"select lode_api.{name}(%s, %s, %s, '{{}}')", tile_at(13)).fetchone()
        assert content is not None
        assert {layer["id"] for layer in description["vector_layers"]} == (
            {"landcover"} if name.startswith("landcover") else {"damage", "change"}
        )


def test_the_fields_told_to_martin_are_those_of_the_tiles(world: World, tmp_path: Path) -> None:
    tile = tile_at(13)
    for function in ("landcover_tile", "damage_tile"):
        row = world.conn.execute(
            "select obj_description(oid, 'pg_proc') from pg_proc where proname = %s", (f"{function}_query",)
        ).fetchone()
        assert row is not None
        layers = decode(fetch(world.conn, function, tile), tile, tmp_path)
        for layer in json.loads(row[0])["vector_layers"]:
            attributes, _shape = layers[layer["id"]][0]
            assert set(attributes) - {"mvt_id"} == set(layer["fields"])


def test_rows_for_small_scales_go_with_what_they_stand_for(world: World) -> None:
    counted = (
        "select (select count(*) from lode.landcover_general), (select count(*) from lode.damage_general)"
    )
    before = world.conn.execute(counted).fetchone()
    assert before is not None
    assert min(before) > 0
    world.conn.execute("delete from lode.mine")
    assert world.conn.execute("select count(*) from lode.damage_general").fetchone() == (0,)
    world.conn.execute("delete from lode.run")
    assert world.conn.execute(counted).fetchone() == (0, 0)
    world.conn.rollback()
    assert world.conn.execute(counted).fetchone() == before


def test_deriving_again_gives_the_same(world: World) -> None:
    rows = (
        "select run_id, zoom, land_class_code, landcover_id, area_m2, mean_probability, geom"
        " from lode.landcover_general order by run_id, zoom, landcover_general_id"
    )
    before = world.conn.execute(rows).fetchall()
    world.conn.execute("select lode_api.derive_general(array(select run_id from lode.run order by run_id))")
    assert world.conn.execute(rows).fetchall() == before
    world.conn.rollback()
