"""An experiment whose ground changes under it: rows of two grounds never come into one table."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from db.connection import connect
from db.errors import UsageError
from db.registry import list_models
from inference.experiments.experiment import Request, run_experiment
from ingest.declaration import Statement
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.requests import FeatureRequest
from ingest.scene import ingest_scene
from tests.fields import write_labels, write_scene


def test_labels_that_are_edited_while_it_runs_end_it(database_url: str, tmp_path: Path) -> None:
    with connect(database_url) as conn:
        statement = Statement(sensor="gf2_pms", acquired_on=date(2021, 6, 19), product="fields")
        ingest_scene(conn, source_file(write_scene(tmp_path)), statement)
        labels = FeatureRequest(source_file(write_labels(tmp_path)))
        ingest_labels(conn, labels, LabelRequest(product="fields"))
        conn.commit()
    request = Request(
        "ablation", seeds=1, networks=("DL", "SE-DL"), products=("fields",), epochs=1, windows=8, tile_px=32
    )

    def edit(line: str) -> None:
        """Somebody else takes back a label once the first row is trained."""
        if line.startswith("1/2 DL") and " done" in line:
            with connect(database_url) as conn:
                conn.execute("delete from lode.label where label_id = (select max(label_id) from lode.label)")
                conn.commit()

    out = tmp_path / "build"
    with pytest.raises(UsageError, match=r"'ablation SE-DL seed 1' .* trained otherwise: pixels\."):
        run_experiment(database_url, request, out, device_name="cpu", report=edit)
    assert not list(out.glob("ablation.*"))
    with connect(database_url) as conn:
        assert len(list_models(conn)) == 2  # what was trained is not thrown away
    with pytest.raises(UsageError, match="begun otherwise"):
        run_experiment(database_url, request, out, device_name="cpu", report=edit)
