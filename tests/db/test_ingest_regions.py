"""Regions into the database: stored, again, updated, replaced, refused; labels that count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from db.regions import RegionLayer
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.regions import ingest_regions
from ingest.requests import FeatureOutcome, FeatureRequest
from tests.conftest import RunLode
from tests.ingest_files import square, write_geojson

BOW_TIE = shapely.from_wkt("POLYGON ((87 44, 87.1 44.1, 87.1 44, 87 44.1, 87 44))")
ODD_NAME = '托克逊县\'); drop table lode.region; -- "x" %s'


def regions(
    conn: Connection[Any], path: Path, layer: RegionLayer | str = "county", **request: Any
) -> FeatureOutcome:
    said = RegionLayer(layer) if isinstance(layer, str) else layer
    return ingest_regions(conn, FeatureRequest(source_file(path), **request), said)


def region_file(path: Path, codes: tuple[str, ...] = ("A", "B"), side: float = 0.1, **more: Any) -> Path:
    shapes = [square(80 + ord(code) / 10, 43.9, side) for code in codes]
    return write_geojson(path, shapes, [{"code": code, "name": f"county {code}"} | more for code in codes])


def stored(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select l.key, r.code, r.name, r.name_zh, round(st_area(r.geom)::numeric, 4)::float"
        " from lode.region r join lode.region_layer l using (region_layer_id) order by 1, 2"
    ).fetchall()


def test_regions_are_known_by_layer_and_code(conn: Connection[Any], tmp_path: Path) -> None:
    path = region_file(tmp_path / "r.geojson", name_zh="县")
    first = regions(conn, path)
    assert (first.stored, first.updated, first.unchanged, first.is_new) == (2, 0, 0, True)
    assert not regions(conn, path).is_new
    other = regions(conn, path, "watershed")
    assert other.stored == 2
    assert len(stored(conn)) == 4
    # A file without Chinese names keeps those that are there; a code that is in it no more stays.
    region_file(path, ("A",), side=0.2)
    second = regions(conn, path)
    assert (second.stored, second.updated, second.unchanged) == (0, 1, 0)
    assert stored(conn)[:2] == [
        ("county", "A", "county A", "县", 0.04),
        ("county", "B", "county B", "县", 0.01),
    ]
    # With --replace it goes, from this layer only.
    region_file(path, ("A", "C"), side=0.2)
    third = regions(conn, path, replace=True)
    assert (third.stored, third.unchanged, third.replaced) == (1, 1, 1)
    assert [row[:2] for row in stored(conn)] == [
        ("county", "A"),
        ("county", "C"),
        ("watershed", "A"),
        ("watershed", "B"),
    ]


def test_a_layer_keeps_what_is_not_said_again(conn: Connection[Any], tmp_path: Path) -> None:
    path = region_file(tmp_path / "r.geojson")
    row = "select key, name, name_zh, is_protected from lode.region_layer"
    regions(conn, path, RegionLayer("farmland", "Permanent farmland", "永久基本农田", is_protected=True))
    assert conn.execute(row).fetchall() == [("farmland", "Permanent farmland", "永久基本农田", True)]
    regions(conn, path, "farmland")
    assert conn.execute(row).fetchall() == [("farmland", "Permanent farmland", "永久基本农田", True)]
    regions(conn, path, RegionLayer("farmland", is_protected=False))
    assert conn.execute(row).fetchall() == [("farmland", "Permanent farmland", "永久基本农田", False)]


@pytest.mark.parametrize(
    ("rows", "layer", "reason"),
    [
        ([{"code": "A", "name": "a"}, {"code": "A", "name": "b"}], "county", r"'A' in row 1 .* and row 2"),
        ([{"code": "A", "name": "a"}, {"code": None, "name": "b"}], "county", "row 2 .* the code is empty"),
        ([{"code": "A", "name": "a"}, {"code": "B", "name": ""}], "county", "row 2 .* the name is empty"),
        ([{"nr": "A", "name": "a"}] * 2, "county", "--field code=COLUMN; its columns are: nr, name"),
        ([{"code": "A", "name": "a"}, {"code": "B", "name": "b"}], "县", "--layer-key '县': write it with"),
        ([{"code": "A", "name": "a"}, {"code": "B", "name": "b"}], "a b;", "--layer-key 'a b;'"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(
    conn: Connection[Any], tmp_path: Path, rows: list[dict[str, Any]], layer: str, reason: str
) -> None:
    path = write_geojson(tmp_path / "r.geojson", [square(87, 43.9), square(88, 43.9)], rows)
    with pytest.raises(UsageError, match=reason):
        regions(conn, path, layer)
    conn.rollback()
    assert stored(conn) == []
    assert conn.execute("select count(*) from lode.region_layer").fetchone() == (0,)


def test_one_bad_outline_stores_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    rows = [{"code": "A", "name": ODD_NAME}, {"code": "B", "name": "b"}]
    path = write_geojson(tmp_path / "r.geojson", [square(87, 43.9), BOW_TIE], rows)
    with pytest.raises(UsageError, match=r"1 of 2 features .* Self-intersection\[87\.05 44\.05\]"):
        regions(conn, path)
    conn.rollback()
    assert stored(conn) == []
    assert regions(conn, path, repair=True).repaired == 1
    assert [row[2] for row in stored(conn)] == [ODD_NAME, "b"]


def test_labels_count_when_that_is_said(conn: Connection[Any], tmp_path: Path) -> None:
    shapes = [square(87, 43.9), square(87.005, 43.9)]
    path = write_geojson(tmp_path / "l.geojson", shapes, [{"class": "dump", "year": 2021}] * 2)
    assert ingest_labels(conn, FeatureRequest(source_file(path)), LabelRequest()).stored == 2
    assert conn.execute("select count(*) from lode.interpreted_ground").fetchone() == (0,)
    # The same file, to count, is another reading of it.
    with pytest.raises(UsageError, match="--replace"):
        ingest_labels(conn, FeatureRequest(source_file(path)), LabelRequest(is_counted=True))
    done = ingest_labels(conn, FeatureRequest(source_file(path), replace=True), LabelRequest(is_counted=True))
    assert (done.stored, done.replaced) == (2, 2)
    assert conn.execute("select bool_and(is_counted) from lode.label").fetchone() == (True,)
    areas = [row[0] for row in conn.execute("select area_m2 from lode.outside_piece order by label_id")]
    assert areas == [pytest.approx(areas[1] / 2, rel=1e-6), areas[1]]  # the later one has shared ground


def test_the_command_line(run_lode: RunLode, tmp_path: Path) -> None:
    path = region_file(tmp_path / "r.geojson")
    done = run_lode(
        "ingest", "regions", path, "--layer-key", "red_line", "--name-zh", "生态红线", "--protected"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "stored 2 regions, 0 updated, 0 unchanged, 0 repaired (r.geojson)\n"
    again = run_lode(
        "ingest", "regions", path, "--layer-key", "red_line", "--name-zh", "生态红线", "--protected"
    )
    assert "are there already" in again.stdout
    refused = run_lode("ingest", "regions", path, "--layer-key", "Red Line")
    assert refused.returncode == 1
    assert "--layer-key 'Red Line'" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert run_lode("ingest", "regions", path).returncode == 2
