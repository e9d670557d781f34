"""Scenes that came from a source and whose runs are published, on drawn ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from db import landcover, runs
from db.connection import connect
from tests.catalogue_rows import CODES, add_model, ewkb
from tests.grids import cells
from tests.source_files import described_tiff
from tests.source_runs import Sources

BEFORE, AFTER = "vvvv\nvppv\nvvvv\nvvvv", "vvvv\nvppp\nvvvv\nvvvv"


def add_source(sources: Sources, folder: Path, **fields: Any) -> int:
    with connect(sources.url) as conn:
        model_id = add_model(conn, "net")
    return sources.add("folder", folder, model_id=model_id, report_folder="province", **fields)


def publish(url: str, run_id: int, drawing: str) -> None:
    """Publish drawn ground under a run that waits."""
    with connect(url) as conn:
        claim = runs.claim_run(conn, run_id, device="drawn", versions={})
        row = conn.execute(
            "select extract(year from s.acquired_on)::integer from lode.run r"
            " join lode.scene s using (scene_id) where r.run_id = %s",
            (run_id,),
        ).fetchone()
        assert row is not None
        conn.commit()
        runs.hold_for_publication(conn, claim)
        landcover.insert_landcover(
            conn, run_id, row[0],
            [(CODES[each], ewkb(cells(drawing, each)), 0.9) for each in sorted(set(drawing) - {"\n"})],
        )  # fmt: skip
        landcover.insert_observation(conn, run_id, row[0], ewkb(cells(drawing, "".join(CODES))))
        runs.mark_published(conn, claim, figures={})
        runs.make_current(conn, run_id)


def published(sources: Sources, folder: Path) -> int:
    """A source with one scene whose run is published."""
    described_tiff(folder / "early.tif", 1)
    source = add_source(sources, folder)
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert done.run_id is not None
    publish(sources.url, done.run_id, BEFORE)
    return source
