"""Outlines for maps of small scale: what is kept, what is gathered, and that no gap opens."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
import shapely
from psycopg import Connection

from db import landcover, runs
from db.connection import connect
from db.embedded import Cluster
from tests.catalogue_rows import CODES, add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.clients.tiles import GENERAL_ZOOM
from tests.conftest import copied_database
from tests.grids import cells

SIDE = 100
STEP_DEG = 0.001
WEST, SOUTH = 84.0, 43.0
IN_DEGREES = "cross join lateral (select st_transform(g.geom, 4326) as geom) as w"
"""The outline ``g`` of lode.damage_general, which is stored in EPSG:3857."""


def publish_squares(conn: Connection[Any]) -> int:
    """A run of 100 x 100 squares of 0.001 degrees: the west is open pit, the east a chequerboard of two."""
    ground = shapely.MultiPolygon([shapely.box(WEST, SOUTH, WEST + SIDE * STEP_DEG, SOUTH + SIDE * STEP_DEG)])
    scene = add_scene(conn, "squares", date(2021, 6, 1), ground)
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    squares = []
    for i, j in itertools.product(range(SIDE), range(SIDE)):
        west, south = WEST + i * STEP_DEG, SOUTH + j * STEP_DEG
        square = shapely.MultiPolygon([shapely.box(west, south, west + STEP_DEG, south + STEP_DEG)])
        letter = "p" if i < SIDE / 2 else "d" if (i + j) % 3 == 0 else "v"
        squares.append((CODES[letter], ewkb(square), 0.9 if letter == "p" else 0.5))
    landcover.insert_landcover(conn, run.run_id, 2021, squares)
    landcover.insert_observation(conn, run.run_id, 2021, ewkb(ground))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    return run.run_id


def test_small_patches_are_gathered_by_the_class_most_of_a_cell_has(conn: Connection[Any]) -> None:
    run = publish_squares(conn)
    rows = conn.execute(
        "select zoom, land_class_code, count(*), count(landcover_id), sum(area_m2), min(mean_probability),"
        " max(mean_probability), st_area(st_union(geom)::geography), sum(st_npoints(geom))"
        " from lode.landcover_general where run_id = %s and zoom <= 10 group by 1, 2",
        (run,),
    ).fetchall()
    true_m2 = dict(
        conn.execute(
            "select land_class_code, sum(area_m2) from lode.landcover where run_id = %s group by 1", (run,)
        ).fetchall()
    )
    by_zoom: dict[int, dict[int, Any]] = {}
    for zoom, code, *facts in rows:
        by_zoom.setdefault(zoom, {})[code] = facts
    assert sorted(by_zoom) == list(range(11))
    for zoom, classes in by_zoom.items():
        assert set(classes) <= {1, 6}, "two thirds of the east are vegetation: no cell is a dump"
        assert all(kept == 0 for _count, kept, *_rest in classes.values()), "a square has less than 8 pixels"
        assert sum(points for *_rest, points in classes.values()) < 2000, zoom
    for zoom in (8, 9, 10):
        classes = by_zoom[zoom]
        assert classes[6][5] == pytest.approx(true_m2[6], rel=0.25)
        assert classes[6][3:5] == pytest.approx([0.9, 0.9])
        assert classes[1][3:5] == pytest.approx([0.5, 0.5])
        together = sum(facts[5] for facts in classes.values())
        assert together == pytest.approx(sum(true_m2.values()), rel=0.25)
    assert sum(facts[0] for facts in by_zoom[0].values()) == 1


def test_a_patch_of_eight_pixels_is_drawn_by_itself(conn: Connection[Any]) -> None:
    drawing = "\n".join("p" * 30 for _ in range(30))  # 3 km x 3 km
    scene = add_scene(conn, "one", date(2021, 6, 1), cells(drawing, "p"))
    add_mine(conn, "M1", cells(drawing, "p"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, drawing)
    rows = conn.execute(
        "select zoom, landcover_id is not null, st_area(geom::geography) from lode.landcover_general"
        " order by zoom"
    ).fetchall()
    latitude = cells(drawing, "p").centroid.y
    assert [zoom for zoom, _kept, _area in rows] == list(range(GENERAL_ZOOM + 1))
    for zoom, is_kept, area_m2 in rows:
        pixel_m = 2 * math.pi * 6378137 * math.cos(math.radians(latitude)) / 256 / 2**zoom
        assert is_kept == (9e6 / pixel_m**2 >= 8), zoom
        if is_kept:
            assert area_m2 == pytest.approx(9e6, abs=2 * 4 * 3000 * pixel_m / 2), zoom


@pytest.mark.parametrize("zoom", range(6, 11))
def test_neighbours_stay_neighbours(conn: Connection[Any], zoom: int) -> None:
    """A jagged border that two shapes share: no gap opens and nothing is covered twice."""
    border = [(84.5 + 0.01 * ((7 * step) % 5 - 2), 43 + 0.02 * step) for step in range(51)]
    west = shapely.Polygon([(84.0, 43.0), *border, (84.0, 44.0)])
    east = shapely.Polygon([(85.0, 43.0), *border, (85.0, 44.0)])
    row = conn.execute(
        "select st_area(st_union(w, e)), st_area(st_intersection(w, e)), st_numinteriorrings(st_union(w, e))"
        " from (select st_geometryn(st_makevalid(lode_api.general_shape(%s::geometry, %s, 43.5)), 1) as w,"
        " st_geometryn(st_makevalid(lode_api.general_shape(%s::geometry, %s, 43.5)), 1) as e) g",
        (shapely.set_srid(west, 4326).wkb_hex, zoom, shapely.set_srid(east, 4326).wkb_hex, zoom),
    ).fetchone()
    assert row is not None
    united, shared, gaps = row
    pixel = 360 / 256 / 2**zoom
    assert united == pytest.approx(1.0, abs=4 * pixel)
    assert shared == pytest.approx(0, abs=1e-12)
    assert gaps == 0


def test_what_is_narrower_than_a_pixel_is_dropped(conn: Connection[Any]) -> None:
    sliver = shapely.box(84.0, 43.0, 84.00001, 43.5)
    row = conn.execute(
        "select lode_api.general_shape(st_geomfromtext(%s, 4326), 8, 43.0)", (sliver.wkt,)
    ).fetchone()
    assert row == (None,)


def test_damage_keeps_a_pixel_at_every_zoom(conn: Connection[Any]) -> None:
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("pv\nvv", "pv"))
    add_mine(conn, "M1", cells("pv\nvv", "pv"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "pv\nvv")
    rows = conn.execute(
        "select g.zoom, st_xmax(w.geom) - st_xmin(w.geom), st_isvalid(g.geom),"
        " st_intersects(st_expand(w.geom, 1e-9), st_expand(d.geom, lode_api.pixel_degrees(g.zoom)))"
        f" from lode.damage_general g {IN_DEGREES}"
        " join lode.mine_damage d using (mine_damage_id) where g.zoom <= 10"
        " order by g.zoom"
    ).fetchall()
    assert [row[0] for row in rows] == list(range(11))
    for zoom, width, is_valid, is_near in rows:
        assert width == pytest.approx(360 / 256 / 2**zoom, rel=0.01)
        assert is_valid
        assert is_near


def test_damage_near_a_pole_is_on_no_map_of_small_scale(conn: Connection[Any]) -> None:
    """Web Mercator ends long before; the damage counts all the same."""
    ground = shapely.MultiPolygon([shapely.box(10, 89.5, 11, 89.6)])
    add_mine(conn, "M1", ground)
    scene = add_scene(conn, "one", date(2021, 6, 1), ground)
    run = runs.request_interpretation(conn, scene, add_model(conn, "net"))
    claim = runs.claim_run(conn, run.run_id, device="drawn", versions={})
    runs.hold_for_publication(conn, claim)
    landcover.insert_landcover(conn, run.run_id, 2021, [(CODES["p"], ewkb(ground), 0.9)])
    landcover.insert_observation(conn, run.run_id, 2021, ewkb(ground))
    runs.mark_published(conn, claim, figures={})
    runs.make_current(conn, run.run_id)
    assert conn.execute("select count(*) from lode.damage_general").fetchone() == (0,)
    assert conn.execute("select area_m2 > 0 from lode.mine_damage").fetchall() == [(True,)]


def test_damage_for_small_scales_follows_an_edit(conn: Connection[Any]) -> None:
    """Whoever changes the damaged ground: nothing stale is left on maps."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("pv\nvv", "pv"))
    add_mine(conn, "M1", cells("pv\nvv", "pv"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "pv\nvv")
    conn.execute("update lode.mine_damage set geom = st_translate(geom, 1, 0)")
    row = conn.execute(
        "select count(*), min(st_xmin(w.geom) - st_xmin(d.geom)), max(st_xmin(w.geom) - st_xmin(d.geom))"
        f" from lode.damage_general g {IN_DEGREES}"
        " join lode.mine_damage d using (mine_damage_id) where g.zoom >= 8"
    ).fetchone()
    assert row is not None
    assert row[0] == GENERAL_ZOOM - 7
    assert max(abs(row[1]), abs(row[2])) <= 360 / 256 / 2**8


GENERAL = (
    "select g.zoom, c.code, c.to_year, c.change, k.mine_id, k.year, k.damage_kind, st_asewkb(g.geom)"
    " from lode.damage_general g left join lode.damage_change c using (damage_change_id)"
    " left join lode.mine_damage k using (mine_damage_id) order by 1, 2, 3, 4, 5, 6, 7"
)


def publish_dots(conn: Connection[Any]) -> None:
    """Two mines, three years: pits of one cell apart from each other, some of which come and go."""
    model = add_model(conn, "net")
    add_mine(conn, "M1", cells("xxxxxx\nxxxxxx\nxxxxxx\nxxxxxx", "x"))
    add_mine(conn, "M2", cells("......xxxxxx\n......xxxxxx\n......xxxxxx\n......xxxxxx", "x"))
    for year, drawing in (
        (2021, "pvpvvvvvvvvp\nvvvvpvvvpvvv\npvvvvvvvvvvv\nvvvvpvddvvvv"),
        (2022, "pvvvpvvvvvpp\nvvvvpvvvpvvv\npvpvvvvpvvvv\nvvvvppddvvvp"),
        (2023, "vvvvpvvpvvpp\npvvvvvvvpvvv\npvpvvvvpvvvv\nvvvvppdvvvvp"),
    ):
        scene = add_scene(conn, f"dots-{year}", date(year, 6, 1), cells(drawing, "pvd"))
        publish_drawing(conn, scene, model, year, drawing)


def drawn_from_nothing(conn: Connection[Any]) -> list[Any]:
    """What maps of small scale show when every row of damage and change is put in anew, in one statement."""
    with conn.transaction(force_rollback=True):
        conn.execute("create temporary table k as select * from lode.mine_damage")
        conn.execute("create temporary table c as select * from lode.damage_change")
        conn.execute("truncate lode.damage_general, lode.damage_change, lode.mine_damage")
        conn.execute("insert into lode.mine_damage overriding system value select * from k")
        conn.execute("insert into lode.damage_change overriding system value select * from c")
        return conn.execute(GENERAL).fetchall()


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template_database: str) -> Iterator[Connection[Any]]:
    with copied_database(cluster, template_database) as url, connect(url) as connection:
        publish_dots(connection)
        connection.commit()
        yield connection


@pytest.fixture
def dots(filled: Connection[Any]) -> Iterator[Connection[Any]]:
    """Two mines, three years; what a test changes is taken back."""
    with filled.transaction(force_rollback=True):
        yield filled


def test_pixels_of_small_change_are_one_row_a_mine_and_year(dots: Connection[Any]) -> None:
    many = dots.execute(
        "select c.mine_id, c.to_year, c.change, count(*) from lode.damage_change c group by 1, 2, 3"
    ).fetchall()
    assert max(count for *_rest, count in many) >= 3
    rows = dots.execute(
        "select g.zoom, c.mine_id, c.to_year, c.change, count(*), bool_and(c.area_m2 ="
        "  (select max(d.area_m2) from lode.damage_change d"
        "   where (d.mine_id, d.to_year, d.change) = (c.mine_id, c.to_year, c.change)))"
        " from lode.damage_general g join lode.damage_change c using (damage_change_id) where g.zoom <= 6"
        " group by 1, 2, 3, 4"
    ).fetchall()
    assert len(rows) == 7 * len(many)
    assert all(count == 1 and is_of_the_largest for *_rest, count, is_of_the_largest in rows)


def test_each_pixel_of_a_map_that_holds_change_shows_it(dots: Connection[Any]) -> None:
    missing = dots.execute(
        "select z, c.code, c.to_year, c.change from lode.damage_change c"
        " cross join generate_series(0, lode_api.largest_general_zoom()) as z"
        f" where not exists (select from lode.damage_general g {IN_DEGREES}"
        "  join lode.damage_change d using (damage_change_id) where g.zoom = z"
        "  and (d.mine_id, d.to_year, d.change) = (c.mine_id, c.to_year, c.change)"
        "  and st_dwithin(w.geom, c.geom, 0.1 * lode_api.pixel_degrees(z)))"
    ).fetchall()
    assert missing == []


@pytest.mark.parametrize(
    "edit",
    [
        "update lode.damage_change set geom = st_translate(geom, 0.001, 0) where change = 'new'",
        "update lode.damage_change set area_m2 = area_m2 * 9 where damage_change_id in"
        " (select max(damage_change_id) from lode.damage_change group by mine_id, to_year, change)",
        "update lode.damage_change set change = 'new' where change = 'treated' and to_year = 2023",
        "delete from lode.damage_change where damage_change_id in"
        " (select min(damage_change_id) from lode.damage_change group by mine_id, to_year, change)",
        "delete from lode.damage_change where change = 'persisting'",
        "delete from lode.damage_patch where number = 1",
        "delete from lode.mine_damage where damage_kind = 'occupied'",
        "update lode.mine_damage set geom = st_translate(geom, 0, 0.001) where year = 2022",
        "delete from lode.mine where code = 'M1'",
        "update lode.mine set boundary = st_multi(st_translate(boundary, 0.001, 0)) where code = 'M2'",
        "update lode.run set is_current = false where run_id = (select max(run_id) from lode.run)",
    ],
)
def test_whatever_is_edited_maps_show_what_is_drawn_from_nothing(dots: Connection[Any], edit: str) -> None:
    before = dots.execute(GENERAL).fetchall()
    assert before == drawn_from_nothing(dots)
    dots.execute(edit.encode())
    after = dots.execute(GENERAL).fetchall()
    assert after != before
    assert after == drawn_from_nothing(dots)


def test_only_mines_and_years_that_changed_are_drawn_again(dots: Connection[Any]) -> None:
    kept = (
        "select g.damage_general_id from lode.damage_general g left join lode.damage_change c"
        " using (damage_change_id) where c.to_year is distinct from 2023 or c.mine_id <>"
        " (select mine_id from lode.mine where code = 'M1') order by 1"
    )
    before = dots.execute(kept).fetchall()
    every = dots.execute("select damage_general_id from lode.damage_general order by 1").fetchall()
    dots.execute("update lode.damage_change set last_seen_on = last_seen_on + 1, geom = geom")
    dots.execute("update lode.mine_damage set end_date = end_date + 1")
    assert dots.execute("select damage_general_id from lode.damage_general order by 1").fetchall() == every
    dots.execute(
        "update lode.damage_change set geom = st_translate(geom, 0.001, 0) where to_year = 2023 and mine_id ="
        " (select mine_id from lode.mine where code = 'M1')"
    )
    assert dots.execute(kept).fetchall() == before
    assert dots.execute("select damage_general_id from lode.damage_general order by 1").fetchall() != every


def test_a_tile_of_the_world_holds_no_dump_of_small_patches(conn: Connection[Any]) -> None:
    publish_squares(conn)
    conn.execute("analyze lode.landcover")
    x, y = (WEST + 0.05 + 180) / 360, 0.5 - math.asinh(math.tan(math.radians(SOUTH + 0.05))) / math.pi / 2
    sizes = []
    for z in range(16):
        row = conn.execute(
            "select length(lode_api.landcover_tile(%s, %s, %s))", (z, int(x * 2**z), int(y * 2**z))
        ).fetchone()
        assert row is not None
        sizes.append(row[0])
    assert all(size > 0 for size in sizes)
    assert sizes[0] < 1_000
    assert max(sizes[:11]) < 10_000
    assert sizes[GENERAL_ZOOM + 1] > 20_000, "the squares are larger than a pixel and drawn as they are"
