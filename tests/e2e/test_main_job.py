"""From files to areas by mine and year, as a user types it, and what must hold whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from db.accounting import ACCOUNTING_LOCK
from db.checks import run_checks
from db.connection import connect
from db.qgis.styles import install_styles
from db.raster import RasterReader
from tests.e2e.conftest import Prepared, lode
from tests.support import rows

PUBLISHED = """
select c.key, st_asbinary(l.geom), l.area_m2, l.mean_probability
from lode.landcover l join lode.land_class c using (land_class_code) order by l.landcover_id
"""


def published(url: str) -> list[tuple[Any, ...]]:
    return rows(url, PUBLISHED)


@pytest.fixture
def product(prepared: Prepared) -> str:
    return prepared.district.scenes[0].product


def test_the_main_job(prepared_url: str, prepared: Prepared) -> None:
    for scene in prepared.district.scenes[:2]:
        done = lode(prepared_url, "infer", "--scene", scene.product, "--model", "net")
        assert "published" in done.stdout

    # Polygons are valid, fit each other, and add up to what was observed.
    [(invalid,)] = rows(prepared_url, "select count(*) from lode.landcover where not st_isvalid(geom)")
    assert invalid == 0
    for polygons_m2, observed_m2, summed, united in rows(
        prepared_url,
        "select sum(l.area_m2), max(o.area_m2), sum(st_area(l.geom)), st_area(st_union(l.geom))"
        " from lode.landcover l join lode.observation o using (run_id) group by run_id",
    ):
        assert polygons_m2 == pytest.approx(observed_m2, rel=1e-6)
        assert summed == pytest.approx(united, rel=1e-9)

    # The nodata collar is not observed; overlapping scenes count ground once.
    [(seen_m2, owned_m2, union_m2, grid_m2)] = rows(
        prepared_url,
        "select sum(area_m2), sum(owned_area_m2), st_area(st_union(geom)::geography),"
        " (select sum(width_px * height_px * resolution_m * resolution_y_m) from lode.scene)"
        " from lode.observation",
    )
    assert seen_m2 < grid_m2 * 0.9995
    assert owned_m2 < seen_m2 * 0.99
    assert owned_m2 == pytest.approx(union_m2, rel=1e-6)

    # Classes of a mine fill what was observed of it.
    for observed_m2, classes_m2 in rows(
        prepared_url,
        "select observed_area_m2, (select sum(area_m2) from lode.mine_area a"
        " where a.mine_year_id = y.mine_year_id) from lode.mine_year y",
    ):
        assert classes_m2 == pytest.approx(observed_m2, rel=1e-6)

    report = json.loads(lode(prepared_url, "report", "damage", "--format", "json").stdout)
    assert {row["year"] for row in report} == {2021}
    assert {row["mine_code"] for row in report} == {area.mine for area in prepared.district.mine_areas}
    assert sum(row["area_m2"] or 0 for row in report) > 0

    # Probabilities of the classes add up to one, up to rounding, where observed.
    with connect(prepared_url) as conn:
        [(run_id,)] = conn.execute("select min(run_id) from lode.run").fetchall()
        reader = RasterReader(conn, f"probability_{run_id}")
        probability = reader.read(0, 0, reader.grid.height_px, reader.grid.width_px)
        seen = probability[0] != 255
        assert 0.5 < seen.mean() < 1
        assert np.abs(probability[:, seen].astype(int).sum(axis=0) - 200).max() <= 4
        install_styles(conn)  # the database is a copy under another name
        assert [result for result in run_checks(conn) if result.faults] == []


def test_the_same_scene_and_model_change_nothing(prepared_url: str, product: str) -> None:
    lode(prepared_url, "infer", "--scene", product, "--model", "net")
    before = rows(prepared_url, "select * from lode.landcover order by landcover_id")
    again = lode(prepared_url, "infer", "--scene", product, "--model", "net", "--batch", "3")
    assert "was published before" in again.stdout
    assert rows(prepared_url, "select * from lode.landcover order by landcover_id") == before
    assert rows(prepared_url, "select count(*), max(attempt) from lode.run") == [(1, 1)]


def test_the_same_polygons_byte_for_byte(
    prepared_url: str, prepared: Prepared, cluster: Any, product: str
) -> None:
    from tests.conftest import copied_database

    lode(prepared_url, "infer", "--scene", product, "--model", "net")
    with copied_database(cluster, prepared.database) as other:
        lode(other, "infer", "--scene", product, "--model", "net")
        assert published(other) == published(prepared_url)


def test_batch_size_moves_no_area_by_more_than_a_thousandth(
    prepared_url: str, prepared: Prepared, cluster: Any, product: str
) -> None:
    from tests.conftest import copied_database

    query = "select land_class_code, area_m2 from lode.mine_area order by mine_year_id, land_class_code"
    lode(prepared_url, "infer", "--scene", product, "--model", "net")
    with copied_database(cluster, prepared.database) as other:
        lode(other, "infer", "--scene", product, "--model", "net", "--batch", "1")
        ours, theirs = rows(prepared_url, query), rows(other, query)
    total = sum(area for _code, area in ours)
    assert total > 0
    assert sum(abs(a - b) for (_, a), (_, b) in zip(ours, theirs, strict=True)) < 1e-3 * total


def test_another_model_stands_for_the_scene_only_when_told(prepared_url: str, product: str) -> None:
    with connect(prepared_url) as conn:
        conn.execute(
            "insert into lode.model select (jsonb_populate_record(m,"
            ' \'{"model_id": 900, "name": "other"}\')).*'
            " from lode.model m"
        )
        conn.execute("insert into lode.model_weights select 900, sha256, weights from lode.model_weights")
        conn.commit()
    current = "select m.name from lode.run r join lode.model m using (model_id) where r.is_current"
    lode(prepared_url, "infer", "--scene", product, "--model", "net")
    lode(prepared_url, "infer", "--scene", product, "--model", "other")
    assert rows(prepared_url, current) == [("net",)]
    area = rows(prepared_url, "select * from lode.mine_area")
    lode(prepared_url, "infer", "--scene", product, "--model", "other", "--make-current")
    assert rows(prepared_url, current) == [("other",)]
    assert len(rows(prepared_url, "select * from lode.mine_area")) == len(area)


def start_infer(url: str, product: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lode", "infer", "--scene", product, "--model", "net"],
        env={**os.environ, "LODE_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(url: str, query: str, seconds: float = 90) -> None:
    """Wait until a query gives a row."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if rows(url, query):
            return
        time.sleep(0.05)
    pytest.fail(f"never seen: {query}")


NOTHING_VISIBLE = (
    "select (select count(*) from lode.landcover), (select count(*) from lode.observation),"
    " (select count(*) from lode.mine_area), (select count(*) from lode_raster.probability),"
    " (select count(*) from pg_class where relname like '%probability\\_%')"
)


def test_killed_while_it_computes_and_while_it_publishes(prepared_url: str, product: str) -> None:
    """Nothing partial is ever visible, nothing is left behind, and the next attempt gives the rows."""
    worker = start_infer(prepared_url, product)
    wait_for(prepared_url, "select 1 from lode.run where status = 'running'")
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert rows(prepared_url, NOTHING_VISIBLE) == [(0, 0, 0, 0, 0)]

    with connect(prepared_url) as blocker:
        blocker.execute("select pg_advisory_xact_lock(%s)", (ACCOUNTING_LOCK,))
        worker = start_infer(prepared_url, product)
        # Polygons and probabilities are written by now, areas wait for the lock.
        wait_for(
            prepared_url,
            "select 1 from pg_locks where locktype = 'advisory' and not granted and objid = "
            f"{ACCOUNTING_LOCK}",
        )
        assert rows(prepared_url, NOTHING_VISIBLE) == [(0, 0, 0, 0, 0)]
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    wait_for(
        prepared_url,
        "select 1 where not exists (select from pg_locks where locktype = 'advisory' and objid ="
        f" {ACCOUNTING_LOCK})",
    )
    assert rows(prepared_url, NOTHING_VISIBLE) == [(0, 0, 0, 0, 0)]
    with connect(prepared_url) as conn:
        assert any("has no worker" in fault for result in run_checks(conn) for fault in result.faults)

    lode(prepared_url, "infer", "--scene", product, "--model", "net")
    assert rows(prepared_url, "select status, attempt, is_current from lode.run") == [("published", 3, True)]
    assert published(prepared_url)


def test_two_workers_on_one_scene(prepared_url: str, product: str) -> None:
    """One computes it; the other is told so, or finds it done."""
    workers = [start_infer(prepared_url, product) for _ in range(2)]
    said = [worker.communicate(timeout=200) for worker in workers]
    codes = sorted(worker.returncode for worker in workers)
    assert codes in ([0, 0], [0, 1]), said
    assert rows(prepared_url, "select status, attempt from lode.run") == [("published", 1)]
    assert len({row[1] for row in published(prepared_url)}) == len(published(prepared_url))


def test_a_scene_the_network_cannot_take_is_refused(prepared_url: str, product: str) -> None:
    with connect(prepared_url) as conn:
        conn.execute("update lode.scene set band_names = '{pan,green,red,nir}'")
        conn.commit()
    done = lode(prepared_url, "infer", "--scene", product, "--model", "net", check=False)
    assert done.returncode == 1
    assert "lacks the bands blue" in done.stderr
    assert "Traceback" not in done.stderr
    assert rows(prepared_url, NOTHING_VISIBLE) == [(0, 0, 0, 0, 0)]


def test_unknown_scene_and_model(prepared_url: str, product: str) -> None:
    for arguments in (("--scene", "nowhere", "--model", "net"), ("--scene", product, "--model", "nobody")):
        done = lode(prepared_url, "infer", *arguments, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("lode: error:")
