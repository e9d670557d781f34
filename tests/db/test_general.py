"""Outlines for maps of small scale: what is kept, what is gathered, and that no gap opens."""

from __future__ import annotations

import math
from datetime import date
from typing import Any

import pytest
import shapely
from psycopg import Connection

from tests.catalogue_rows import add_mine, add_model, add_scene, ewkb, publish_drawing
from tests.grids import cells

SIDE = 100
STEP_DEG = 0.001
WEST, SOUTH = 84.0, 43.0


def publish_squares(conn: Connection[Any]) -> int:
    """A run of 100 x 100 squares of 0.001 degrees: the west is open pit, the east a chequerboard of two."""
    ground = shapely.MultiPolygon([shapely.box(WEST, SOUTH, WEST + SIDE * STEP_DEG, SOUTH + SIDE * STEP_DEG)])
    scene = add_scene(conn, "squares", date(2021, 6, 1), ground)
    run = publish_drawing(conn, scene, add_model(conn, "net"), 2021, "b")
    conn.execute("delete from lode.landcover where run_id = %s", (run,))
    conn.execute(
        "update lode.observation set geom = %(geom)s::geometry, owned = %(geom)s::geometry, area_m2 = 1,"
        " owned_area_m2 = 1 where run_id = %(run)s",
        {"geom": ewkb(ground).hex(), "run": run},
    )
    conn.execute(
        "insert into lode.landcover (run_id, land_class_code, geom, area_m2, mean_probability, start_date,"
        " end_date) select %(run)s, case when i < 50 then 6 when (i + j) %% 3 = 0 then 5 else 1 end, s.geom,"
        " st_area(s.geom::geography), 0.5 + 0.4 * (i < 50)::integer, '2021-01-01', '2022-01-01'"
        " from generate_series(0, 99) i cross join generate_series(0, 99) j cross join lateral (select"
        " st_multi(st_makeenvelope(%(w)s + i * %(d)s, %(s)s + j * %(d)s, %(w)s + (i + 1) * %(d)s,"
        " %(s)s + (j + 1) * %(d)s, 4326)) as geom) s",
        {"run": run, "w": WEST, "s": SOUTH, "d": STEP_DEG},
    )
    conn.execute("select lode_api.derive_general(array[%s::integer])", (run,))
    return run


def test_small_patches_are_gathered_by_the_class_most_of_a_cell_has(conn: Connection[Any]) -> None:
    run = publish_squares(conn)
    rows = conn.execute(
        "select zoom, land_class_code, count(*), count(landcover_id), sum(area_m2), min(mean_probability),"
        " max(mean_probability), st_area(st_union(geom)::geography), sum(st_npoints(geom))"
        " from lode.landcover_general where run_id = %s group by 1, 2",
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
    assert [zoom for zoom, _kept, _area in rows] == list(range(11))
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
        "select g.zoom, st_xmax(g.geom) - st_xmin(g.geom), st_isvalid(g.geom),"
        " st_intersects(st_expand(g.geom, 1e-9), st_expand(d.geom, lode_api.pixel_degrees(g.zoom)))"
        " from lode.damage_general g join lode.mine_damage d using (mine_damage_id) order by g.zoom"
    ).fetchall()
    assert [row[0] for row in rows] == list(range(11))
    for zoom, width, is_valid, is_near in rows:
        assert width == pytest.approx(360 / 256 / 2**zoom, rel=0.01)
        assert is_valid
        assert is_near


def test_damage_for_small_scales_follows_an_edit(conn: Connection[Any]) -> None:
    """Whoever changes the damaged ground: nothing stale is left on maps."""
    scene = add_scene(conn, "one", date(2021, 6, 1), cells("pv\nvv", "pv"))
    add_mine(conn, "M1", cells("pv\nvv", "pv"))
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "pv\nvv")
    conn.execute("update lode.mine_damage set geom = st_translate(geom, 1, 0)")
    row = conn.execute(
        "select count(*), min(st_xmin(g.geom) - st_xmin(d.geom)), max(st_xmin(g.geom) - st_xmin(d.geom))"
        " from lode.damage_general g join lode.mine_damage d using (mine_damage_id) where g.zoom >= 8"
    ).fetchone()
    assert row is not None
    assert row[0] == 3
    assert max(abs(row[1]), abs(row[2])) <= 360 / 256 / 2**8


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
    assert sizes[11] > 100_000, "from here on the squares are larger than a pixel and drawn as they are"
