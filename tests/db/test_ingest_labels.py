"""Labels into the database, from polygons and from rasters of classes."""

from __future__ import annotations

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
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.catalogue_rows import add_scene
from tests.db.ingested_features import BOW_TIE, ODD_NAME, counts, label_file, labels
from tests.db.ingested_scenes import DAY
from tests.grids import cells
from tests.ingest_files import NORTH_UP, some_pixels, square, write_geojson, write_tiff, write_vector


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
