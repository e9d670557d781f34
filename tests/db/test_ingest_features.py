"""Labels, mines and geology into the database: what is stored, again, replaced, updated, refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from psycopg import Connection
from rasterio.features import rasterize

from db.errors import UsageError
from db.labels import labels_of_scene
from ingest.crs import file_crs
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.ground import ingest_geology, ingest_mines
from ingest.labels import ingest_labels
from ingest.requests import FeatureOutcome, FeatureRequest
from ingest.scene import ingest_scene
from tests.catalogue_rows import add_model, add_scene, publish_drawing
from tests.conftest import RunLode
from tests.db.test_ingest_scenes import DAY, Statement
from tests.grids import CELL_M, cells
from tests.ingest_files import NORTH_UP, some_pixels, square, write_geojson, write_tiff, write_vector

ODD_NAME = 'Robert\'); drop table lode.mine; -- "x" %s 石灰石矿' + "长" * 40
TABLES = ("label", "mine", "fault", "pluton", "deposit", "feature_source")


def labels(
    conn: Connection[Any], path: Path, about: Mapping[str, Any] | None = None, **request: Any
) -> FeatureOutcome:
    return ingest_labels(conn, FeatureRequest(source_file(path), **request), LabelRequest(**(about or {})))


def mines(conn: Connection[Any], path: Path, **request: Any) -> FeatureOutcome:
    return ingest_mines(conn, FeatureRequest(source_file(path), **request))


def geology(conn: Connection[Any], kind: str, path: Path, **request: Any) -> FeatureOutcome:
    return ingest_geology(conn, kind, FeatureRequest(source_file(path), **request))


def counts(conn: Connection[Any]) -> dict[str, int]:
    found = {}
    for table in TABLES:
        row = conn.execute(f"select count(*) from lode.{table}").fetchone()  # type: ignore[arg-type]
        assert row is not None
        found[table] = row[0]
    return found


def label_file(path: Path, classes: Sequence[Any] = ("open_pit", "堆放场", 2), year: Any = 2021) -> Path:
    squares = [square(87 + index / 10, 43.9) for index in range(len(classes))]
    return write_geojson(path, squares, [{"class": name, "year": year} for name in classes])


def mine_file(path: Path, codes: Sequence[Any] = ("A", "B"), *, side: float = 0.01, **columns: Any) -> Path:
    """Mines whose place follows from the first letter of their code."""
    squares = [square(80 + ord(str(code)[0]) / 10, 43.9, side) for code in codes]
    return write_geojson(path, squares, [{"code": code, "name": f"mine {code}"} | columns for code in codes])


def test_labels_by_key_name_and_code(conn: Connection[Any], tmp_path: Path) -> None:
    outcome = labels(conn, label_file(tmp_path / "l.geojson"), {"interpreter": ODD_NAME})
    assert (outcome.stored, outcome.repaired, outcome.ignored, outcome.is_new) == (3, 0, 0, True)
    rows = conn.execute(
        "select land_class_code, valid_on, scene_id, interpreter, st_geometrytype(geom),"
        " st_srid(geom), st_asbinary(geom) from lode.label order by label_id"
    ).fetchall()
    assert [row[0] for row in rows] == [6, 5, 2]
    assert {row[1:6] for row in rows} == {(date(2021, 7, 1), None, ODD_NAME, "ST_MultiPolygon", 4326)}
    assert shapely.from_wkb(rows[0][6]).equals(square(87, 43.9))
    assert outcome.notes[-1] == "water 1, dump 1, open_pit 1"


def test_labels_of_a_scene_and_of_its_year(conn: Connection[Any], tmp_path: Path) -> None:
    pixels = some_pixels(4, 200, 200)
    scene = ingest_scene(
        conn, source_file(write_tiff(tmp_path / "s.tif", pixels)), Statement("gf2_pms", DAY, "S")
    ).scene
    box = shapely.box(*scene.footprint.bounds)
    west, south = box.bounds[:2]
    drawn = write_geojson(tmp_path / "a.geojson", [square(west, south, 0.002)], [{"class": "open_pit"}])
    labels(conn, drawn, {"product": "S"})
    for name, day, x in (
        ("same_year", "2021-12-31", west),
        ("other_year", "2022-01-01", west),
        ("elsewhere", "2021-03-01", west + 1),
    ):
        path = write_geojson(
            tmp_path / f"{name}.geojson", [square(x, south, 0.003)], [{"class": "dump", "date": day}]
        )
        labels(conn, path)
    found = labels_of_scene(conn, scene.scene_id)
    assert [label.land_class_code for label in found] == [6, 5]
    assert found[0].geometry.equals(square(west, south, 0.002))
    assert conn.execute("select valid_on from lode.label where scene_id is not null").fetchone() == (DAY,)
    far = write_geojson(tmp_path / "far.geojson", [square(10, 10)], [{"class": "dump"}])
    with pytest.raises(UsageError, match="none of its 1 labels touches scene 'S'"):
        labels(conn, far, {"product": "S"})
    with pytest.raises(UsageError, match="no scene 'T'; there are: S"):
        labels(conn, drawn, {"product": "T"})


def test_a_column_may_name_the_scene_of_each_label(conn: Connection[Any], tmp_path: Path) -> None:
    ground = cells("pp\npp", "p")
    ids = [add_scene(conn, name, date(year, 6, 1), ground) for name, year in (("S1", 2021), ("S2", 2022))]
    west, south = ground.bounds[:2]
    squares = [square(west, south, 0.001)] * 3
    rows = [{"class": "dump", "product": name, "year": 2020} for name in ("S1", "S2", None)]
    path = write_geojson(tmp_path / "l.geojson", squares, rows)
    labels(conn, path)
    assert conn.execute("select scene_id, valid_on from lode.label order by label_id").fetchall() == [
        (ids[0], date(2021, 6, 1)),
        (ids[1], date(2022, 6, 1)),
        (None, date(2020, 7, 1)),
    ]
    rows[1]["product"] = "granite"
    other = write_geojson(tmp_path / "o.geojson", squares, rows)
    with pytest.raises(UsageError, match=r"scenes that are not in the database: 'granite' \(1 times\)"):
        labels(conn, other)
    assert labels(conn, other, fields={"scene": ""}).stored == 3
    assert conn.execute("select count(*) from lode.label where scene_id is null").fetchone() == (4,)


def test_the_same_file_again_changes_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    path = label_file(tmp_path / "l.geojson")
    mine_path = mine_file(tmp_path / "m.geojson")
    line = write_geojson(tmp_path / "f.geojson", [shapely.LineString([(87, 44), (88, 44)])])
    for _ in range(2):
        outcomes = [labels(conn, path), mines(conn, mine_path), geology(conn, "faults", line)]
    assert [outcome.is_new for outcome in outcomes] == [False] * 3
    assert counts(conn) == {
        "label": 3,
        "mine": 2,
        "fault": 1,
        "pluton": 0,
        "deposit": 0,
        "feature_source": 3,
    }
    renamed = label_file(tmp_path / "renamed.geojson")
    assert not labels(conn, renamed).is_new


def test_another_content_of_the_same_name_needs_replace(conn: Connection[Any], tmp_path: Path) -> None:
    path = label_file(tmp_path / "l.geojson")
    labels(conn, path)
    label_file(path, ("dump", "dump"))
    with pytest.raises(UsageError, match="--replace deletes them"):
        labels(conn, path)
    kept = labels(conn, path, source_name="second year")
    assert (kept.stored, counts(conn)["label"]) == (2, 5)
    label_file(path, ("water",))
    outcome = labels(conn, path, replace=True)
    assert (outcome.stored, outcome.replaced) == (1, 3)
    assert counts(conn)["label"] == 3
    assert counts(conn)["feature_source"] == 2
    # Other options of the same content are another reading of it.
    with pytest.raises(UsageError, match="--replace"):
        labels(conn, path, {"class_name": "dump"})
    # The first content is new again once it was replaced.
    label_file(path)
    assert labels(conn, path, replace=True).is_new


@pytest.mark.parametrize("kind", ["faults", "plutons", "deposits"])
def test_geology(conn: Connection[Any], tmp_path: Path, kind: str) -> None:
    shape: shapely.Geometry = {
        "faults": shapely.LineString([(87, 44), (88, 44)]),
        "plutons": square(87, 44),
        "deposits": shapely.Point(87, 44),
    }[kind]
    table, column = {
        "faults": ("fault", "fault_type"),
        "plutons": ("pluton", "lithology"),
        "deposits": ("deposit", "commodity"),
    }[kind]
    path = write_geojson(tmp_path / "x.geojson", [shape] * 2, [{"NAME": ODD_NAME, "art": 7}, {"NAME": None}])
    outcome = geology(conn, kind, path, fields={column: "art"})
    assert outcome.stored == 2
    rows = conn.execute(
        f"select name, {column}, st_srid(geom) from lode.{table} order by 1 nulls last"  # type: ignore[arg-type]
    ).fetchall()
    assert rows == [(ODD_NAME, "7", 4326), (None, None, 4326)]
    write_geojson(path, [shape], [{"NAME": "new"}])
    assert geology(conn, kind, path, fields={column: "NAME"}, replace=True).replaced == 2
    assert counts(conn)[table] == 1


def test_faults_of_zero_length_are_refused(conn: Connection[Any], tmp_path: Path) -> None:
    lines = [shapely.LineString([(87, 44), (88, 44)]), shapely.LineString([(87, 44), (87, 44)])]
    path = write_geojson(tmp_path / "f.geojson", lines)
    for repair in (False, True):
        with pytest.raises(UsageError, match=r"row 2 \(feature id 1\): is a line of zero length"):
            geology(conn, "faults", path, repair=repair)
        conn.rollback()
    assert counts(conn)["fault"] == 0


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


BOW_TIE = shapely.from_wkt("POLYGON ((87 44, 87.1 44.1, 87.1 44, 87 44.1, 87 44))")


def test_one_bad_row_stores_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    shapes = [square(87, 43.9), BOW_TIE, square(88, 43.9)]
    properties = [{"class": "dump", "year": 2021, "code": str(n), "name": "x"} for n in range(3)]
    path = write_geojson(tmp_path / "x.geojson", shapes, properties)
    reason = r"1 of 3 features .* row 2 \(feature id 1\): Self-intersection\[87\.05 44\.05\]"
    for attempt in (
        lambda: labels(conn, path),
        lambda: mines(conn, path),
        lambda: geology(conn, "plutons", path),
    ):
        with pytest.raises(UsageError, match=reason):
            attempt()
        conn.rollback()
    assert set(counts(conn).values()) == {0}
    outcome = labels(conn, path, repair=True)
    assert (outcome.stored, outcome.repaired) == (3, 1)
    assert conn.execute("select repaired_count, feature_count from lode.feature_source").fetchone() == (1, 3)
    assert conn.execute("select bool_and(st_isvalid(geom)) from lode.label").fetchone() == (True,)


@pytest.mark.parametrize(
    ("about", "request_", "reason"),
    [
        ({}, {}, "which day or year do the labels describe"),
        ({"valid_on": date(2021, 1, 1), "product": "S"}, {}, "exclude each other"),
        ({"valid_on": date(2999, 1, 1)}, {}, "still to come"),
        ({"valid_on": date(2021, 1, 1), "class_name": "quarry"}, {}, "'quarry' .* are no classes"),
        ({"valid_on": date(2021, 1, 1)}, {"fields": {"class": "kind"}}, "'pit' .2 times. are no classes"),
        ({"valid_on": date(2021, 1, 1)}, {"fields": {"klass": "kind"}}, "no such field"),
        ({"valid_on": date(2021, 1, 1)}, {"srid": 32645}, "--srid is for files that state none"),
        ({"valid_on": date(2021, 1, 1)}, {"source_name": "a\nb"}, "control characters"),
        ({"valid_on": date(2021, 1, 1)}, {"only": (("kind", "dump"),)}, "no feature has kind=dump"),
    ],
)
def test_what_is_said_about_labels_must_be_possible(
    conn: Connection[Any], tmp_path: Path, about: dict[str, Any], request_: dict[str, Any], reason: str
) -> None:
    squares = [square(87, 43.9), square(88, 43.9)]
    path = write_geojson(tmp_path / "x.geojson", squares, [{"class": "dump", "kind": "pit"}] * 2)
    with pytest.raises(UsageError, match=reason):
        labels(conn, path, about, **request_)
    conn.rollback()
    assert set(counts(conn).values()) == {0}


def test_files_without_crs_need_a_code(conn: Connection[Any], tmp_path: Path) -> None:
    box = shapely.box(500000, 4860000, 500100, 4860100)
    path = write_vector(tmp_path / "x.shp", [box], {"class": ["dump"]}, crs=None, driver="ESRI Shapefile")
    about = {"valid_on": date(2021, 1, 1)}
    with pytest.raises(UsageError, match="say which with --srid"):
        labels(conn, path, about)
    assert labels(conn, path, about, srid=32645).stored == 1
    [(area,)] = conn.execute("select st_area(geom::geography) from lode.label").fetchall()
    assert area == pytest.approx(10_000 / 0.9996**2, rel=1e-4)


def toml(folder: Path, text: str) -> Any:
    path = folder / "classes.toml"
    path.write_text(text, "utf-8")
    return source_file(path)


@pytest.mark.parametrize("seed", range(4))
def test_a_class_raster_gives_back_its_pixels(conn: Connection[Any], tmp_path: Path, seed: int) -> None:
    """Patches are outlined along pixel edges: burnt into the same grid they are the same pixels."""
    generator = np.random.default_rng(seed)
    values = generator.choice([0, 10, 20, 77], (60, 70), p=[0.3, 0.4, 0.2, 0.1]).astype("uint8")
    transform = NORTH_UP if seed % 2 else Affine(30.0, 0, 210000, 0, -30.0, 5400000)
    path = write_tiff(tmp_path / "x.tif", values[np.newaxis], transform=transform, nodata=77)
    classes = toml(tmp_path, 'ignore = [0]\n[classes]\n10 = "open_pit"\n20 = "dump"\n')
    outcome = labels(conn, path, {"classes_file": classes, "valid_on": DAY})
    rows = conn.execute("select land_class_code, st_asbinary(geom) from lode.label").fetchall()
    assert len(rows) == outcome.stored
    to_wgs84 = file_crs("EPSG:32645", "x").to_wgs84()
    shapes = [
        (
            shapely.transform(
                shapely.from_wkb(wkb),
                lambda xy: np.column_stack(to_wgs84.transform(xy[:, 0], xy[:, 1], direction="INVERSE")),
            ),
            code,
        )
        for code, wkb in rows
    ]
    burnt = rasterize(shapes, values.shape, fill=255, transform=transform, dtype="uint8")
    expected = np.select([values == 10, values == 20], [6, 5], 255)
    assert np.array_equal(burnt, expected)
    assert f"{np.isin(values, [0, 77]).sum()} of 4200 pixels" in outcome.notes[0]


def test_class_rasters_that_say_too_little_are_refused(conn: Connection[Any], tmp_path: Path) -> None:
    classes = toml(tmp_path, '[classes]\n1 = "open_pit"\n')
    about = {"classes_file": classes, "valid_on": DAY}
    one = np.ones((1, 5, 5), "uint8")
    cases: list[tuple[Path, dict[str, Any], str]] = [
        (write_tiff(tmp_path / "a.tif", one), {"valid_on": DAY}, "needs --classes"),
        (
            write_tiff(tmp_path / "b.tif", one),
            {"classes_file": classes},
            "needs --scene PRODUCT or --valid-on",
        ),
        (write_tiff(tmp_path / "c.tif", one * 9), about, r"'9' \(1 times\) are not in the table"),
        (write_tiff(tmp_path / "d.tif", one + 0.5), about, "whole numbers only"),
        (write_tiff(tmp_path / "e.tif", np.ones((2, 5, 5), "uint8")), about, "has one band"),
        (write_tiff(tmp_path / "f.tif", one, crs=None), about, "no coordinate reference system"),
        (write_tiff(tmp_path / "g.tif", one, transform=None), about, "not georeferenced"),
        (write_tiff(tmp_path / "h.tif", one, nodata=1), about, "holds no labels"),
    ]
    for path, said, reason in cases:
        with pytest.raises(UsageError, match=reason):
            labels(conn, path, said)
        conn.rollback()
    assert set(counts(conn).values()) == {0}


def test_ignored_values_are_left_out_and_counted(conn: Connection[Any], tmp_path: Path) -> None:
    squares = [square(87 + index, 43.9) for index in range(3)] + [BOW_TIE]
    path = write_geojson(tmp_path / "x.geojson", squares, [{"class": name} for name in "abbc"])
    classes = toml(tmp_path, 'ignore = ["c"]\n[classes]\na = "6"\nb = "dump"\n')
    outcome = labels(conn, path, {"classes_file": classes, "valid_on": DAY})
    assert (outcome.stored, outcome.ignored) == (3, 1)  # the bow tie is ignored, so it need not be valid


def test_many_polygons_are_stored_quickly(conn: Connection[Any], tmp_path: Path) -> None:
    squares = [square(80 + (n % 200) / 50, 40 + (n // 200) / 50) for n in range(20_000)]
    path = write_vector(tmp_path / "x.gpkg", squares, {"class": ["dump"] * len(squares)})
    outcome = labels(conn, path, {"valid_on": DAY})
    assert outcome.stored == counts(conn)["label"] == 20_000


def test_the_command_line(run_lode: RunLode, tmp_path: Path) -> None:
    path = label_file(tmp_path / "l.geojson", ("pit", "dump"))
    (tmp_path / "c.toml").write_text('[classes]\npit = "open_pit"\ndump = "dump"\n')
    done = run_lode("ingest", "labels", path, "--classes", tmp_path / "c.toml", "--valid-on", "2021-06-19")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["dump 1, open_pit 1", "stored 2 labels, 0 repaired (l.geojson)"]
    table = mine_file(tmp_path / "m.geojson")
    done = run_lode("ingest", "mines", table, "--field", "mineral=name")
    assert done.stdout == "stored 2 mines, 0 updated, 0 unchanged, 0 repaired (m.geojson)\n"
    bad = write_geojson(tmp_path / "p.geojson", [BOW_TIE])
    refused = run_lode("ingest", "plutons", bad)
    assert refused.returncode == 1
    assert "Self-intersection" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run_lode("ingest", "faults", table, "--field", "nonsense").returncode == 1
