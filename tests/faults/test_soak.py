"""Random kills every few seconds until every scene is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.embedded import Cluster
from tests.faults.conftest import SCENES
from tests.faults.ground import FaultyWorker, Ground
from tests.faults.soak import Soak
from tests.service.district import fill_district, products, published, split_district
from tests.service.workers import all_are, request, running, wait_for
from tests.support import REPOSITORY

MANY, SIDE_PX, BLOCK_ROWS_PX, WORKERS = 200, 64, 24, 4


def test_twelve_scenes_under_random_kills(ground: Ground, tmp_path: Path) -> None:
    soak = Soak(ground, 2, seed=11)
    soak.run(SCENES, between_s=(1.5, 3), timeout_s=480)
    report = soak.report(SCENES, tmp_path)
    ground.findings(SCENES).check()
    assert report["publications_announced_by_run"] == {"1": SCENES}
    assert soak.record.faults.total() >= 4


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_two_hundred_scenes_under_random_kills(
    cluster: Cluster, template_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tell(line: str) -> None:
        with capsys.disabled():
            print(f"    {line}", flush=True)

    (REPOSITORY / "build" / "faults.json").unlink(missing_ok=True)
    tell("")
    template = "lode_test_soak"
    cluster.create_database(template, template=template_database)
    fill_district(cluster.url(template), tmp_path, scenes=MANY, side_px=SIDE_PX)
    with split_district(cluster, template, BLOCK_ROWS_PX, SIDE_PX) as url:
        workers = [FaultyWorker(url, tmp_path, "--queues", "inference") for _ in range(2)]
        with running(*workers):
            request(url, *products(MANY))
            wait_for(all_are(url, MANY, "published"), "the undisturbed district", 600)
        undisturbed = published(url)
    with split_district(cluster, template, BLOCK_ROWS_PX, SIDE_PX) as url:
        ground = Ground(url, tmp_path, {MANY: undisturbed}.__getitem__)
        soak = Soak(ground, WORKERS, seed=12, tell=tell)
        try:
            soak.run(MANY, between_s=(2, 5), timeout_s=1200)
            report = soak.report(MANY, REPOSITORY / "build")
            ground.findings(MANY).check()
        except BaseException:
            print(ground.logs())
            raise
        finally:
            ground.end()
    assert report["publications_announced_by_run"] == {"1": MANY}
    assert report["faults_in_all"] >= 30
    assert all(report["faults"].values())
