"""Mines into the database: known by their code, with boundaries, licences and areas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.errors import UsageError
from ingest.files import source_file
from ingest.ground import ingest_mines
from ingest.requests import FeatureRequest
from tests.catalogue_rows import add_model, add_scene, publish_drawing
from tests.db.ingested_features import ODD_NAME, counts, mine_file, mines
from tests.db.ingested_scenes import DAY
from tests.grids import CELL_M, cells
from tests.ingest_files import square, write_geojson


def test_mines_are_known_by_their_code(conn: Connection[Any], tmp_path: Path) -> None:
    path = mine_file(tmp_path / "m.geojson", mineral="granite")
    first = mines(conn, path)
    assert (first.stored, first.updated, first.unchanged) == (2, 0, 0)
    mine_file(path, ("A", "B", ODD_NAME), side=0.02)
    second = mines(conn, path)
    assert (second.stored, second.updated, second.unchanged, second.replaced) == (1, 2, 0, 0)
    rows = conn.execute(
        "select code, mineral, st_area(boundary) from lode.mine where code in ('A', 'B') order by code"
    ).fetchall()
    assert [row[1] for row in rows] == ["granite"] * 2  # the file had no such column
    assert [row[2] for row in rows] == pytest.approx([0.0004] * 2)
    assert counts(conn)["feature_source"] == 1
    # Without --replace a mine that is in the file no more stays; with it, it goes.
    mine_file(path, ("A",), side=0.02)
    assert mines(conn, path).unchanged == 1
    assert counts(conn)["mine"] == 3
    mine_file(path, ("B",), side=0.02)
    third = mines(conn, path, replace=True)
    assert (third.unchanged, third.replaced) == (1, 2)
    assert conn.execute("select code from lode.mine").fetchall() == [("B",)]
    # Going back to an earlier file is no "nothing happened".
    mine_file(path, mineral="granite")
    again = mines(conn, path)
    assert (again.is_new, again.stored, again.updated) == (True, 1, 1)


def test_mines_that_cannot_be_told_apart_are_refused(conn: Connection[Any], tmp_path: Path) -> None:
    twice = mine_file(tmp_path / "m.geojson", ("A", "B", "A"))
    with pytest.raises(UsageError, match=r"'A' in row 1 \(feature id 0\) and row 3 \(feature id 2\)"):
        mines(conn, twice)
    nameless = mine_file(tmp_path / "n.geojson", ("A", None))
    with pytest.raises(UsageError, match=r"row 2 \(feature id 1\): the code is empty"):
        mines(conn, nameless)
    bare = write_geojson(tmp_path / "b.geojson", [square(87, 44)], [{"nr": "A"}])
    with pytest.raises(UsageError, match="--field code=COLUMN; its columns are: nr"):
        mines(conn, bare)
    assert mines(conn, bare, fields={"code": "nr", "name": "nr"}).stored == 1


def test_areas_follow_the_boundaries(conn: Connection[Any], tmp_path: Path) -> None:
    drawing = """
        ppppp
        ppppp
        vvvvv
    """
    scene_id = add_scene(conn, "S", DAY, cells(drawing, "pv"))
    publish_drawing(conn, scene_id, add_model(conn, "net"), 2021, drawing)
    left = cells("pp...\npp...\nvv...", "pv")
    middle = cells(".pp..\n.pp..\n.....", "p")
    path = write_geojson(
        tmp_path / "m.geojson", [left, middle], [{"code": "A", "name": "a"}, {"code": "B", "name": "b"}]
    )
    mines(conn, path)
    areas = (
        "select m.code, round(sum(area_m2) / %s), round(sum(exclusive_area_m2) / %s) from lode.mine_area"
        " join lode.mine_year using (mine_year_id) join lode.mine m using (mine_id)"
        " where land_class_code = 6 group by 1 order by 1"
    )
    cell = (CELL_M**2 / 0.9996**2,) * 2
    assert conn.execute(areas, cell).fetchall() == [("A", 4, 4), ("B", 4, 2)]
    # A moves away and is smaller; B, which is not in the new file, has more to itself.
    moved = cells("....p\n....p\n.....", "p")
    write_geojson(path, [moved], [{"code": "A", "name": "a"}])
    mines(conn, path)
    assert conn.execute(areas, cell).fetchall() == [("A", 2, 2), ("B", 4, 4)]
    # A goes for good.
    write_geojson(path, [middle], [{"code": "B", "name": "b"}])
    assert mines(conn, path, replace=True).replaced == 1
    assert conn.execute(areas, cell).fetchall() == [("B", 4, 4)]


def test_licence_boundaries(conn: Connection[Any], tmp_path: Path) -> None:
    path = mine_file(tmp_path / "m.geojson")
    licences = write_geojson(tmp_path / "l.geojson", [square(86.4, 43.8, 0.3)], [{"code": "B"}])
    ingest_mines(conn, FeatureRequest(source_file(path)), licences=FeatureRequest(source_file(licences)))
    rows = "select code, st_area(licence_boundary) from lode.mine order by code"
    assert conn.execute(rows).fetchall() == [("A", None), ("B", pytest.approx(0.09))]
    # A later file without licences leaves them as they are.
    mine_file(path, side=0.02)
    mines(conn, path)
    assert conn.execute(rows).fetchall()[1][1] == pytest.approx(0.09)
    strange = write_geojson(tmp_path / "s.geojson", [square(87, 43.8)], [{"code": "Z"}])
    with pytest.raises(UsageError, match="belong to no mine of the file: Z"):
        ingest_mines(conn, FeatureRequest(source_file(path)), licences=FeatureRequest(source_file(strange)))


def test_reviewed_alerts_that_go_with_a_mine_are_told(conn: Connection[Any], tmp_path: Path) -> None:
    """A mine whose code is missing from the newer file goes, with alerts that an inspector confirmed."""
    ground = cells("xxxx", "x")
    path = write_geojson(tmp_path / "m.geojson", [ground], [{"code": "A", "name": "a"}])
    mines(conn, path)
    model = add_model(conn, "net")
    for year, drawing in ((2021, "vvvv"), (2022, "ppvv")):
        scene_id = add_scene(conn, f"S{year}", DAY.replace(year=year), ground)
        publish_drawing(conn, scene_id, model, year, drawing)
    conn.execute("update lode.alert set state = 'confirmed' where kind = 'new_damage'")
    write_geojson(path, [ground], [{"code": "B", "name": "b"}])
    outcome = mines(conn, path, replace=True)
    assert outcome.replaced == 1
    assert any(note.startswith("1 reviewed alerts went with") for note in outcome.notes)
    assert conn.execute("select mine_code, state from lode.alert_review").fetchall() == [("A", "confirmed")]
