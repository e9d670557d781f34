"""`lode assess`: points out to interpreters and their answers in, by file, and the report."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from click.testing import CliRunner, Result
from psycopg import Connection

from db.assessments.draw import SampleDesign, draw_assessment
from db.assessments.seal import seal_of_assessment
from db.errors import UsageError
from ingest.answers import AnswersOutcome, AnswersRequest, import_answers
from ingest.assess_commands import assess_group
from ingest.files import source_file
from tests.assessed_ground import answer_from, publish_map, rows_of
from tests.conftest import RunLode
from tests.ingest_files import write_vector

TRUTH = "ppddbb\nppddbb\nppwwbb"
KEYS = ("background", "water", "dump", "open_pit")
Call = Callable[..., Result]


@pytest.fixture
def call(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call `lode assess` in this process."""
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    return lambda *arguments: CliRunner().invoke(assess_group, [str(each) for each in arguments])


def sampled(conn: Connection[Any], name: str = "a", **options: Any) -> dict[int, str]:
    """A small assessment; class of each point by number."""
    drawn = draw_assessment(conn, name, SampleDesign(2021, per_stratum=3, seed=1, **options))
    conn.commit()
    return {int(n): each.stratum.class_key for each in drawn.strata for n in each.numbers}


def write_csv(
    path: Path, rows: Sequence[Sequence[Any]], encoding: str = "utf-8", delimiter: str = ","
) -> Path:
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows(rows)
    return path


def bring(conn: Connection[Any], path: Path, **options: Any) -> AnswersOutcome:
    return import_answers(conn, "a", AnswersRequest(source_file(path), **options))


def answers(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select p.number, n.interpreter, c.key, n.answered_on::text, n.note from lode.sample_answer n"
        " join lode.sample_point p using (sample_point_id)"
        " left join lode.land_class c using (land_class_code) order by 1, 2"
    ).fetchall()


def test_interpreters_get_the_points_blind(conn: Connection[Any], call: Call, tmp_path: Path) -> None:
    """Neither file tells what the map shows, nor does the order of its points."""
    publish_map(conn)
    made = call(
        "sample", "--name", "2021 年", "--year", 2021, "--seed", 2**63 - 1, "--out", tmp_path / "points.gpkg"
    )
    assert made.exit_code == 0, made.output
    assert made.output.splitlines()[0] == "2021 年: 400 points in the map of 2021, seed 9223372036854775807"
    assert made.output.splitlines()[1].split() == ["background", "131", "points", "in", "6.00", "ha"]
    assert call("export", "--name", "2021 年", tmp_path / "points.csv").exit_code == 0

    meta, _ids, wkb, columns = pyogrio.raw.read(tmp_path / "points.gpkg")
    assert meta["fields"].tolist() == [
        "point", "assessment", "year", "class", "interpreter", "answered_on", "note",
    ]  # fmt: skip
    assert meta["crs"] == "EPSG:4326"
    fields = dict(zip(meta["fields"], columns, strict=True))
    assert fields["point"].tolist() == list(range(1, 401))
    assert all(value is None for name in ("class", "interpreter", "note") for value in fields[name])
    assert np.isnat(fields["answered_on"]).all()

    content = (tmp_path / "points.csv").read_text("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(content)))
    assert list(rows[0]) == [
        "point", "longitude", "latitude", "assessment", "year", "class", "interpreter", "answered_on", "note",
    ]  # fmt: skip
    assert not any(key in content for key in (*KEYS, "stratum"))
    stored = conn.execute(
        "select p.number, st_x(p.geom), st_y(p.geom), s.land_class_code from lode.sample_point p"
        " join lode.assessment_stratum s using (assessment_stratum_id) order by p.sample_point_id"
    ).fetchall()
    assert [row[0] for row in stored] == list(range(1, 401))
    for row, place, (number, x, y, _code) in zip(rows, shapely.from_wkb(wkb), stored, strict=True):
        assert (int(row["point"]), float(row["longitude"])) == (number, pytest.approx(x, abs=1e-7))
        assert (place.x, place.y) == (x, y)
    codes = np.array([row[3] for row in stored])
    halves = np.mean(codes[:200] == 6), np.mean(codes[200:] == 6)
    assert abs(halves[0] - halves[1]) < 0.15


def test_a_filled_file_goes_in_once(conn: Connection[Any], call: Call, tmp_path: Path) -> None:
    """Points without a class wait; the same file again changes nothing; a second interpreter adds answers."""
    publish_map(conn)
    truth = sampled(conn)
    assert call("export", "--name", "a", tmp_path / "blank.csv").exit_code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "blank.csv").read_text("utf-8-sig"))))
    names = {"open_pit": "露天采场", "dump": "5", "water": " WATER ", "background": "Background"}
    for row in rows[:-2]:
        row["class"] = names[truth[int(row["point"])]]
        row["interpreter"], row["answered_on"] = "李", "2022/3/5"
    rows[0]["class"], rows[0]["note"] = "Cannot tell", "cloud, haze"
    filled = write_csv(tmp_path / "filled.csv", [list(rows[0]), *(list(row.values()) for row in rows)], "gbk")
    said = [call("import", "--name", "a", filled).output for _ in range(2)]
    count = len(truth) - 2
    assert said == [
        f"a: {count} answers stored, 0 changed, 0 there already, 2 points wait for an answer\n",
        f"a: 0 answers stored, 0 changed, {count} there already, 2 points wait for an answer\n",
    ]
    stored = answers(conn)
    assert stored[0] == (1, "李", None, "2022-03-05", "cloud, haze")
    assert [row[:3] for row in stored[1:]] == [(n, "李", truth[n]) for n in range(2, count + 1)]
    more = write_csv(
        tmp_path / "more.csv", [["点号", "类别"], *([n, truth[n]] for n in truth)], delimiter=";"
    )
    assert call("import", "--name", "a", "--interpreter", "Wang", more).exit_code == 0
    report = json.loads(call("report", "--name", "a", "--format", "json").output)
    assert report["answers"] == {
        "answered": len(truth) - 1, "cannot_tell": 0, "tie": 1, "unanswered": 0,
        "several": count, "agreed": count - 1,
    }  # fmt: skip


def test_a_geopackage_filled_in_qgis_goes_in(conn: Connection[Any], call: Call, tmp_path: Path) -> None:
    """Also one saved in another CRS; a dragged point, or a file of another assessment, is refused."""
    publish_map(conn)
    truth = sampled(conn)
    sampled(conn, "b", stratified_by="kind")
    assert call("export", "--name", "a", tmp_path / "a.gpkg").exit_code == 0
    meta, _ids, wkb, columns = pyogrio.raw.read(tmp_path / "a.gpkg")
    fields: dict[str, list[Any]] = {
        name: values.tolist() for name, values in zip(meta["fields"], columns, strict=True)
    }
    fields["class"] = [truth[number] for number in fields["point"]]
    fields["interpreter"] = ["Li"] * len(wkb)
    del fields["answered_on"]
    places = list(shapely.from_wkb(wkb))
    write_vector(tmp_path / "filled.gpkg", places, fields, geometry_type="Point")
    assert bring(conn, tmp_path / "filled.gpkg") == AnswersOutcome(len(truth), 0, 0, 0)
    assert [row[:3] for row in answers(conn)] == [(n, "Li", truth[n]) for n in sorted(truth)]
    utm = [shapely.transform(place, _to_utm) for place in places]
    write_vector(tmp_path / "utm.gpkg", utm, fields, geometry_type="Point", crs="EPSG:32645")
    assert bring(conn, tmp_path / "utm.gpkg") == AnswersOutcome(0, 0, len(truth), 0)
    with pytest.raises(
        UsageError, match=r"filled.gpkg: row 1 \(feature id 1\): is of assessment 'a', not of 'b'"
    ):
        import_answers(conn, "b", AnswersRequest(source_file(tmp_path / "filled.gpkg")))
    del fields["assessment"]
    write_vector(tmp_path / "nameless.gpkg", places, fields, geometry_type="Point")
    with pytest.raises(
        UsageError, match=r"point 1 of 'b' lies at 87\.\d{5}, 43\.\d{5}; the file is of another"
    ):
        import_answers(conn, "b", AnswersRequest(source_file(tmp_path / "nameless.gpkg")))
    places[2] = shapely.transform(places[2], lambda xy: xy + np.array([0, 1e-4]))
    write_vector(tmp_path / "dragged.gpkg", places, fields, geometry_type="Point")
    with pytest.raises(UsageError, match=r"row 3 \(feature id 3\): point 3 of 'a' lies at"):
        bring(conn, tmp_path / "dragged.gpkg")
    write_vector(tmp_path / "lines.gpkg", [shapely.LineString([(0, 0), (1, 1)])] * len(places), fields,
                 geometry_type="LineString")  # fmt: skip
    with pytest.raises(UsageError, match="holds other shapes than points"):
        bring(conn, tmp_path / "lines.gpkg")


def _to_utm(xy: Any) -> Any:
    import pyproj

    return np.column_stack(pyproj.Transformer.from_crs(4326, 32645, always_xy=True).transform(*xy.T))


def test_other_answers_do_not_replace_stored_ones_unasked(conn: Connection[Any], tmp_path: Path) -> None:
    """A correction made in a client survives an old file; --replace takes the file's."""
    publish_map(conn)
    sampled(conn)
    first = write_csv(
        tmp_path / "f.csv",
        [["number", "class", "interpreter", "note"], [1, "dump", "Li", ""], [2, "dump", "Li", "wet"]],
    )
    assert bring(conn, first).new == 2
    conn.execute(
        "update lode.sample_answer set land_class_code = null, answered_on = '2022-01-31' where note is null"
    )
    said = r"1 answers are stored already.*line 2: point 1, Li: stored is 'cannot tell 2022-01-31', .*'dump'"
    with pytest.raises(UsageError, match=said):
        bring(conn, first)
    assert bring(conn, first, replace=True) == AnswersOutcome(0, 1, 1, 0)
    assert answers(conn)[0] == (1, "Li", "dump", "2022-01-31", None)
    assert bring(conn, first) == AnswersOutcome(0, 0, 2, 0)


HEADER = ["point", "class", "interpreter", "answered_on"]
REFUSED: list[tuple[list[list[Any]], str]] = [
    (
        [HEADER, [1, "dump", "Li", ""], [99, "dump", "Li", ""]],
        "line 3: assessment 'a' has no point 99; its points are",
    ),
    ([HEADER, ["", "dump", "Li", ""]], "line 2: None is no number of a point"),
    ([HEADER, ["1.5", "dump", "Li", ""]], "line 2: '1.5' is no number"),
    ([HEADER, ["9" * 5000, "dump", "Li", ""]], "is no number of a point"),
    (
        [HEADER, [1, "moon", "Li", ""]],
        "line 2: 'moon' is no class; classes are: 0 background, .*or 'cannot tell'",
    ),
    ([HEADER, [1, "dump", "", ""]], "line 2: who answered"),
    (
        [HEADER, [1, "dump", "Li", ""], [1, "dump", "Li", ""]],
        "line 3: Li has answered point 1 in line 2 already",
    ),
    ([HEADER, [1, "dump", "Li", "tomorrow"]], "line 2: 'tomorrow' is no day"),
    ([HEADER, [1, "dump", "Li", "2921-01-01"]], "line 2: '2921-01-01' is no day that has been"),
    ([HEADER, [1, "dump", "Li"]], "line 2: has 3 columns, the header has 4"),
    ([["point", "class", "point"], [1, 2, 3]], "has two columns named 'point'"),
    ([["class"], ["dump"]], "which column holds the point"),
    ([["point", "interpreter"], [1, "Li"]], "which column holds the class"),
    (
        [[*HEADER, "longitude", "latitude"], [1, "dump", "Li", "", "87.0", "far"]],
        "line 2: 87.0, far is no longitude",
    ),
    ([[*HEADER, "lon", "lat"], [1, "dump", "Li", "", "0", "0"]], "line 2: point 1 of 'a' lies at"),
    ([[""]], "has no header"),
    ([HEADER], "holds no rows"),
    (
        [HEADER, [1, "dump", "Li", ""], [2, "dump", "ＬＩ", ""]],
        "line 3: interpreter 'ＬＩ' is also spelt 'Li'; one person answers a point once",
    ),
]


def test_files_that_cannot_be_right_store_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    publish_map(conn)
    sampled(conn)
    for rows, said in REFUSED:
        with pytest.raises(UsageError, match=said):
            bring(conn, write_csv(tmp_path / "f.csv", rows))
    raw = {
        b'point,class\n1,"dump': "line 2: is no CSV",
        b"point,class\n1,d\0mp": "holds zero bytes",
        b"point,class\n1,\xff\xff": "are not utf-8-sig or gb18030",
        b"PK\x03\x04": "has no header|which column|holds no rows",
    }
    for content, said in raw.items():
        (tmp_path / "f.csv").write_bytes(content)
        with pytest.raises(UsageError, match=said):
            bring(conn, tmp_path / "f.csv")
    (tmp_path / "f.csv").write_bytes(b"")
    with pytest.raises(UsageError, match=r"f.csv: the file is empty \(0 bytes\)"):
        bring(conn, tmp_path / "f.csv")
    with pytest.raises(UsageError, match=r"f.csv: its texts are not .*; state --encoding"):
        bring(conn, write_csv(tmp_path / "f.csv", [HEADER, [1, "水体", "李", ""]], "gbk"), encoding="utf-8")
    with pytest.raises(UsageError, match="--encoding x: there is no such encoding"):
        bring(conn, write_csv(tmp_path / "f.csv", [HEADER]), encoding="x")
    with pytest.raises(UsageError, match="no assessment is called 'b': there are a"):
        import_answers(conn, "b", AnswersRequest(source_file(write_csv(tmp_path / "f.csv", [HEADER]))))
    assert answers(conn) == []


def test_the_report_says_what_the_view_holds(conn: Connection[Any], call: Call) -> None:
    """In every format; the command refuses strata with fewer than two answers."""
    publish_map(conn)
    drawn = draw_assessment(conn, "a", SampleDesign(2021, "kind", per_stratum=20, seed=2))
    conn.commit()
    refused = call("report", "--name", "a")
    assert isinstance(refused.exception, UsageError)
    assert "excavated (0 of" in str(refused.exception)
    answer_from(conn, drawn, "ppddbb\npdddbb\nppwwbd")
    conn.commit()
    view = rows_of(conn, "a")
    table = call("report", "--name", "a").output
    lines = list(csv.DictReader(io.StringIO(call("report", "--name", "a", "--format", "csv").stdout)))
    whole = json.loads(call("report", "--name", "a", "--format", "json").stdout)
    assert [row["land_class"] for row in lines] == ["excavated", "occupied", "undamaged"]
    for row, same in zip(lines, whole["areas"], strict=True):
        expected = view[row["land_class"]]
        for column in ("estimated_area_m2", "standard_error_m2", "lower_m2", "upper_m2", "users_accuracy"):
            assert float(row[column]) == same[column] == expected[column]
        assert f"{expected['estimated_area_m2'] / 1e4:,.2f}" in table
    assert sum(cell["area_proportion"] for cell in whole["error_matrix"]) == pytest.approx(1)
    assert sum(cell["point_count"] for cell in whole["error_matrix"]) == 120
    assert f"overall accuracy {view['occupied']['overall_accuracy']:.1%}" in table
    assert whole["assessment"]["seed"] == 2
    seal = seal_of_assessment(conn, drawn.assessment_id)
    assert whole["assessment"]["drawn_sha256"] == seal.drawn_sha256 == drawn.sha256
    assert whole["answers_sha256"] == seal.answers_sha256
    assert f"points: {seal.drawn_sha256}" in table
    assert f"answers: {seal.answers_sha256}" in table
    assert {row["unanswered_count"] for row in whole["areas"]} == {0}
    listed = call("list").output
    assert "a: map of 2021 by kind, mapped ground inside all mines" in listed
    assert "120 of 120 points answered" in listed


def test_commands_that_cannot_be_right(conn: Connection[Any], call: Call, tmp_path: Path) -> None:
    """Nothing is stored, and no file is overwritten."""
    publish_map(conn)
    taken = write_csv(tmp_path / "taken.csv", [["answers"]])
    assert "there is no assessment yet" in call("list").output
    begin = ("sample", "--name", "a", "--year", 2021)
    for more, said in {
        ("--out", taken): "exists already and may hold answers",
        ("--out", tmp_path / "points.shp"): "are written as .gpkg or .csv",
        ("--out", tmp_path / "none" / "points.csv"): "there is no folder",
        ("--allocation", "dump"): "write it as NAME=VALUE",
        ("--allocation", "dump=many"): "'many' is no number of points",
        ("--allocation", "dump=3", "--allocation", "dump=4"): "--allocation dump: was stated twice",
        ("--allocation", "dump=3", "--total", 90): "--allocation and --total exclude each other",
    }.items():
        result = call(*begin, *more)
        assert isinstance(result.exception, UsageError), more
        assert said in str(result.exception)
    assert call(*begin, "--seed", -1).exit_code == call(*begin, "--seed", 2**63).exit_code == 2
    assert call(*begin, "--by", "mine").exit_code == 2
    assert "there is no assessment yet" in call("list").output
    assert taken.read_text("utf-8").strip() == "answers"


def test_points_that_were_not_stored_leave_no_file(
    conn: Connection[Any], run_lode: RunLode, database_url: str, tmp_path: Path
) -> None:
    """Whatever stops the transaction at its very end: nobody interprets points of no assessment."""
    publish_map(conn)
    conn.execute(
        "create function public.refuse() returns trigger language plpgsql as $$"
        " begin raise exception 'not today' using errcode = 'lock_not_available'; end $$"
    )
    conn.execute(
        "create constraint trigger refuse after insert on lode.assessment deferrable initially deferred"
        " for each row execute function public.refuse()"
    )
    conn.commit()
    command = ("assess", "sample", "--name", "a", "--year", "2021", "--out", tmp_path / "points.csv")
    failed = subprocess.run(  # in a process of its own, as psycopg leaves the connection open then
        [sys.executable, "-m", "lode", *command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LODE_DATABASE_URL": database_url},
    )
    assert failed.returncode == 1
    assert "nothing was stored: other sessions hold a lock (not today)" in failed.stderr
    assert list(tmp_path.iterdir()) == []
    conn.execute("drop trigger refuse on lode.assessment")
    conn.commit()
    done = run_lode(*command)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "points.csv").read_text("utf-8-sig").splitlines()) == 401
    drawn = conn.execute("select drawn_sha256 from lode.assessment").fetchone()
    assert drawn is not None
    assert f"SHA-256 of design, strata and points: {drawn[0]}" in done.stdout


def test_the_front_door_leads_here(conn: Connection[Any], run_lode: RunLode) -> None:
    publish_map(conn)
    made = run_lode("assess", "sample", "--name", "a", "--year", "2021", "--mine", "M1", "--per-stratum", "2")
    assert made.returncode == 0, made.stderr
    refused = run_lode("assess", "report", "--name", "a")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "lode: error: assessment 'a': fewer than two points with a reference class"
    )
