"""Features of every kind into the database: again, replaced, refused; and those of geology."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
from psycopg import Connection

from db.errors import UsageError
from tests.conftest import RunLode
from tests.db.ingested_features import (
    BOW_TIE,
    ODD_NAME,
    counts,
    geology,
    label_file,
    labels,
    mine_file,
    mines,
)
from tests.ingest_files import square, write_geojson


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
