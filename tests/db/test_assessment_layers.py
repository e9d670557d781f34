"""GeoPackage and GeoJSON files of answers that cannot be right: named, and nothing stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import shapely
from psycopg import Connection

from db.assessments.catalogue import points_of_assessment
from db.assessments.draw import SampleDesign, draw_assessment
from db.errors import UsageError
from ingest.answers import AnswersOutcome, AnswersRequest, import_answers
from ingest.files import source_file
from tests.assessed_ground import publish_map
from tests.ingest_files import write_vector

VECTORS: list[tuple[dict[str, Any], str]] = [
    ({"point": 99}, r"assessment 'a' has no point 99; its points are 1 to \d+"),
    ({"point": 0}, "has no point 0"),
    ({"point": None}, "None is no number of a point"),
    ({"point": 1}, r"lies at 87.*; the file is of another assessment, or the point was moved"),
    ({"point": 1, "place": 0}, r"Li has answered point 1 in row 1 \(feature id \d\) already"),
    ({"class": "moon"}, "'moon' is no class; classes are: 0 background"),
    ({"class": "13"}, "'13' is no class"),
    ({"interpreter": None}, "who answered"),
    ({"interpreter": "li"}, "interpreter 'li' is also spelt 'Li'"),
    ({"answered_on": "2921-01-01"}, "'2921-01-01' is no day that has been"),
    ({"assessment": "b"}, "is of assessment 'b', not of 'a'"),
]
DRIVERS = pytest.mark.parametrize(("driver", "name"), [("GPKG", "f.gpkg"), ("GeoJSON", "f.geojson")])


@DRIVERS
def test_layers_that_cannot_be_right_store_nothing(
    conn: Connection[Any], tmp_path: Path, driver: str, name: str
) -> None:
    """The second row is wrong, and named; the first, which is right, is not stored either."""
    publish_map(conn)
    draw_assessment(conn, "a", SampleDesign(2021, per_stratum=3, seed=1))
    conn.commit()

    def bring(path: Path) -> AnswersOutcome:
        return import_answers(conn, "a", AnswersRequest(source_file(path)))

    points = [shapely.Point(each.longitude, each.latitude) for each in points_of_assessment(conn, 1)[:2]]
    right: dict[str, Any] = {
        "point": 2,
        "class": "dump",
        "interpreter": "Li",
        "answered_on": "2022-03-05",
        "assessment": "a",
    }

    def written(wrong: dict[str, Any], leave: str = "", rows: int = 2) -> Path:
        second = {**right, **{key: value for key, value in wrong.items() if key != "place"}}
        places = [points[0], points[wrong.get("place", 1)]][:rows]
        fields = {key: [{**right, "point": 1}[key], second[key]][:rows] for key in right if key != leave}
        (tmp_path / name).unlink(missing_ok=True)
        return write_vector(tmp_path / name, places, fields, geometry_type="Point", driver=driver)

    for wrong, said in VECTORS:
        with pytest.raises(UsageError, match=rf"f\.\w+: row 2 \(feature id \d\): .*{said}"):
            bring(written(wrong))
    for leave in ("point", "class"):
        with pytest.raises(UsageError, match=f"f.*: which column holds the {leave}"):
            bring(written({}, leave))
    with pytest.raises(UsageError, match="holds no rows"):
        bring(written({}, rows=0))
    whole = written({}).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"^f\.\w+: "):
        bring(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="the file is empty"):
        bring(tmp_path / name)
    assert conn.execute("select from lode.sample_answer").fetchall() == []
    assert bring(written({})) == AnswersOutcome(2, 0, 0, 0)
