"""An interpreter answers in QGIS, with a login that may see the tasks and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from psycopg import Connection

from db.assessments.draw import SampleDesign, draw_assessment
from tests.assessed_ground import answer, publish_map
from tests.clients.programs import qgis_source, run_qgis
from tests.support import REPOSITORY

ROLE = "lode_test_interpreter"
ANSWER = """
layer = QgsVectorLayer(arguments["source"], "tasks", "postgres")
assert layer.isValid()
seen = {f["number"]: f["land_class"] for f in layer.getFeatures()}
feature = next(layer.getFeatures(QgsFeatureRequest().setFilterExpression('"number" = 3')))
layer.startEditing()
for field, value in {"land_class": "open_pit", "note": "bench with a haul road"}.items():
    assert layer.changeAttributeValue(feature.id(), layer.fields().indexOf(field), value)
is_stored = layer.commitChanges()
answered = sum(value not in (None, NULL) for value in seen.values())
shown = [f["land_class"] for f in layer.getFeatures() if f["number"] == 3]
found = [sorted(seen), answered, is_stored, layer.commitErrors(), shown]
"""


def test_an_interpreter_answers_in_qgis(conn: Connection[Any], database_url: str, tmp_path: Path) -> None:
    """Sees all points and no other's answer; what is filled in the form is stored in the login's name."""
    publish_map(conn)
    drawn = draw_assessment(conn, "a", SampleDesign(2021, per_stratum=3, seed=1))
    numbers = sorted(int(number) for each in drawn.strata for number in each.numbers)
    answer(conn, drawn.assessment_id, numbers, [5] * len(numbers))
    text = (REPOSITORY / "docs" / "assessment.md").read_text("utf-8")
    conn.execute(f"create role {ROLE} login")
    for line in re.findall(r"^    (grant .*) to interpreter;$", text, flags=re.M):
        conn.execute(f"{line} to {ROLE}")
    conn.commit()
    try:
        url = re.sub(r"//[^@]*@", f"//{ROLE}@", database_url)
        table = 'key=\'ogc_fid\' srid=4326 type=Point table="lode_api"."sample_task" (geom)'
        seen, answered, is_stored, said, shown = run_qgis(
            ANSWER, tmp_path, source=f"{qgis_source(url)} {table}"
        )
        assert (seen, answered) == (numbers, 0)
        assert is_stored, said
        assert shown == ["open_pit"]
        stored = conn.execute(
            "select p.number, n.land_class_code, n.note, n.entered_by,"
            " n.answered_on between current_date - 1 and current_date"
            " from lode.sample_answer n join lode.sample_point p using (sample_point_id)"
            " where n.interpreter = %s",
            (ROLE,),
        ).fetchall()
        assert stored == [(3, 6, "bench with a haul road", ROLE, True)]
    finally:
        conn.rollback()
        conn.execute(f"drop owned by {ROLE}")
        conn.execute(f"drop role {ROLE}")
        conn.commit()
