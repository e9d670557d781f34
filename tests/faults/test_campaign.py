"""SIGKILL of an actor of a campaign after it committed its work and before it can say so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.embedded import Cluster
from inference.interpret import interpret
from tests.campaign_scenes import PRODUCTS, assert_nothing_is_left, attempts, published, split, stock
from tests.conftest import copied_database

pytest.importorskip("ray", reason="Ray is not installed: pip install 'lode[cluster]'")

from tests.e2e.test_campaign import Holds, kill_actor, left_running, start
from tests.support import rows

pytestmark = pytest.mark.long


@pytest.fixture
def stocked(cluster: Cluster, template_database: str, tmp_path: Path) -> Iterator[str]:
    """Name of a database with scenes and a network."""
    name = "lode_test_campaign"
    cluster.create_database(name, template=template_database)
    stock(cluster.url(name), tmp_path)
    yield name
    cluster.drop_database(name)


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for Ray's sockets, whose paths have to be short: not below tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="lode-ray-"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("ray_folder")
def test_an_actor_dies_before_it_can_report(cluster: Cluster, stocked: str, tmp_path: Path) -> None:
    with copied_database(cluster, stocked) as url:
        split(url)
        for product in PRODUCTS:
            interpret(url, product, "x", device_name="cpu")
        undisturbed = published(url)
    with copied_database(cluster, stocked) as url:
        split(url)
        holds = Holds(tmp_path / "reporting", "campaign.before_report")
        campaign = start(url, "--actors", "2", env=holds.environment)
        kill_actor(holds.next(campaign))
        assert 1 in attempts(url).values()
        holds.let_go_until(lambda: campaign.poll() is not None)
        out, err = campaign.communicate()
        assert campaign.returncode == 0, err
        assert "was lost" in err
        assert "3 of 3 scenes are published" in out
        # Its work was committed, and is not done again. (The scene of one block is computed by its run.)
        assert sorted(attempts(url).values()) == [0, *[1] * 6]
        assert rows(url, "select distinct attempt from lode.run") == [(1,)]
        assert published(url) == undisturbed
        assert_nothing_is_left(url)
        assert left_running(campaign.pid) == []
