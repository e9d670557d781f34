"""Study areas in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from psycopg import Connection

from db.errors import UsageError
from db.evidence import area_by_name, delete_area, find_area, list_areas
from db.raster import Grid
from ingest.evidence.areas import AreaOutcome, AreaRequest, ingest_area
from ingest.files import source_file
from tests.conftest import RunLode
from tests.ingest_files import write_geojson, write_tiff

BOUNDS = (500_000.0, 4_859_000.0, 501_200.0, 4_860_000.0)
GRID = Grid(32645, 500_000, 4_860_000, 100, 100, 12, 10)


def make(conn: Connection[Any], name: str = "north", **options: Any) -> AreaOutcome:
    stated = {"bounds": BOUNDS, "srid": 32645, "resolution_m": 100} if "like" not in options else {}
    return ingest_area(conn, AreaRequest(name, **(stated | options)))


def inside(path: Path, cells: str) -> Path:
    """A raster of 12 x 10 cells of 100 m, 1 in the columns that hold an ``x``."""
    row = np.array([letter == "x" for letter in cells], np.float32)
    return write_tiff(path, np.tile(row, (1, 10, 1)), transform=Affine(100, 0, 500_000, 0, -100, 4_860_000))


def test_an_area_is_its_grid_and_the_ground_that_is_judged(conn: Connection[Any], tmp_path: Path) -> None:
    half = source_file(inside(tmp_path / "half.tif", "......xxxxxx"))
    whole, east = make(conn, "whole"), make(conn, "east", inside=[half])
    assert (whole.area.grid, east.area.grid) == (GRID, GRID)
    assert (whole.judged_px, east.judged_px) == (120, 60)
    # a metre of UTM is 1.0004 m on the ground at its meridian: 1.2 km2 are a little more
    assert whole.judged_m2 == pytest.approx(1.2e6 * 1.0004**2, rel=1e-4)
    assert east.judged_m2 == pytest.approx(whole.judged_m2 / 2, rel=1e-6)
    conn.commit()
    assert [area.name for area in list_areas(conn)] == ["east", "whole"]
    for made in (whole, east):
        assert area_by_name(conn, made.area.name) == made.area
    row = conn.execute(
        "select st_srid(geom), st_isvalid(geom), round((st_area(geom::geography) / 1e4)::numeric) from"
        " lode.evidence_area order by name"
    ).fetchall()
    assert row == [(4326, True, 60), (4326, True, 120)]


def test_the_same_again_changes_nothing_and_another_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    half = source_file(inside(tmp_path / "half.tif", "......xxxxxx"))
    first = make(conn, inside=[half])
    conn.commit()
    again = make(conn, inside=[half])
    assert (again.is_new, again.area) == (False, first.area)
    # the same ground, from polygons
    corners = shapely.get_parts(first.area.geometry)[0]
    drawn = source_file(write_geojson(tmp_path / "half.geojson", [corners], [{}]))
    assert not make(conn, inside=[drawn]).is_new
    with pytest.raises(UsageError, match=r"a study area 'north' with another judged ground \(12 x 10 cells"):
        make(conn)
    with pytest.raises(UsageError, match="with another grid"):
        make(conn, inside=[half], resolution_m=50)
    assert len(list_areas(conn)) == 1
    assert delete_area(conn, first.area) == 0
    assert find_area(conn, "north") is None
    assert make(conn).is_new


def test_what_is_said_of_an_area_must_fit_together(conn: Connection[Any], tmp_path: Path) -> None:
    file = source_file(inside(tmp_path / "a.tif", "xxxxxxxxxxxx"))
    for options, said in (
        ({"bounds": None}, "say where the study area lies"),
        ({"srid": None}, "--bounds needs --srid"),
        ({"resolution_m": None}, "and --resolution-m"),
        ({"like": file, "bounds": BOUNDS}, "say where the study area lies"),
        ({"like": file, "srid": 32645}, "a file given by --like has its own CRS"),
        ({"srid": 4326}, "geographic"),
    ):
        with pytest.raises(UsageError, match=said):
            make(conn, **options)
    with pytest.raises(UsageError, match="name of the study area ' x'"):
        make(conn, " x")
    speck = write_geojson(tmp_path / "b.geojson", [shapely.box(87.0, 43.888, 87.0001, 43.8881)], [{}])
    with pytest.raises(UsageError, match="so small that it holds no cell's middle"):
        make(conn, inside=[source_file(speck)])
    with pytest.raises(UsageError, match="there is no study area 'north', nor any other"):
        area_by_name(conn, "north")


def test_the_command_makes_an_area_once(run_lode: RunLode, tmp_path: Path) -> None:
    like = inside(tmp_path / "like.tif", "xxxxxxxxxxxx")
    first, second = inside(tmp_path / "a.tif", "x..........."), inside(tmp_path / "b.tif", "...........x")
    words = ("ingest", "area", "rim", "--like", like, "--inside", first, "--inside", second)
    done = run_lode(*words)
    assert done.returncode == 0, done.stderr
    assert (
        "stored study area rim: 12 x 10 cells of 100 m, EPSG:32645; 20 of 120 cells are judged, 0.2 km2"
        in (done.stdout)
    )
    assert "rim is there already: same grid, same ground; nothing was changed" in run_lode(*words).stdout
    refused = run_lode("ingest", "area", "rim", "--like", like)
    assert (refused.returncode, "another judged ground" in refused.stderr) == (1, True)
    bounds = ",".join(f"{number:.0f}" for number in BOUNDS)
    made = run_lode("ingest", "area", "b", "--bounds", bounds, "--srid", "32645", "--resolution-m", "100")
    assert made.returncode == 0, made.stderr
    for wrong in ("1,2,3", "a,b,c,d"):
        bad = run_lode("ingest", "area", "c", "--bounds", wrong, "--srid", "32645", "--resolution-m", "100")
        assert (bad.returncode, "WEST,SOUTH,EAST,NORTH" in bad.stderr) == (1, True)
    roots = {"LODE_ALLOWED_ROOTS": str(tmp_path / "elsewhere")}
    assert "outside the folders that may be read" in run_lode(*words, env=roots).stderr
