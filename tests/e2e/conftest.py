"""A small district, ingested and with a trained network, ready to be interpreted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from db.embedded import Cluster
from ingest.simulate.district import District, simulate_district
from tests.conftest import copied_database
from tests.support import lode_here

SIDE_PX = 384


@dataclass(frozen=True)
class Prepared:
    """A database with scenes, labels, mines and a network, and the district they came from."""

    database: str
    district: District


def lode(url: str, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command line on a database, in this process; tests that kill it start one of their own."""
    done = lode_here(url, *arguments)
    if check and done.returncode != 0:
        pytest.fail(f"lode {arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


@pytest.fixture(scope="session")
def prepared(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    district = simulate_district(
        tmp_path_factory.mktemp("district"), seed=3, width_px=SIDE_PX, height_px=SIDE_PX
    )
    name = "lode_test_prepared"
    cluster.create_database(name, template=template_database)
    url = cluster.url(name)
    for scene in district.scenes[:2]:
        lode(
            url, "ingest", "scene", scene.path, "--sensor", scene.sensor, "--product", scene.product,
            "--acquired-on", scene.acquired_on.isoformat(),
        )  # fmt: skip
    products = {scene.product for scene in district.scenes[:2]}
    lode(url, "ingest", "labels", labels_of(district, products, tmp_path_factory.mktemp("labels")))
    lode(url, "ingest", "mines", district.mines)
    lode(
        url, "train", "segmentation", "--name", "net", "--backbone", "small", "--epochs", "2",
        "--tile-px", "64", "--seed", "1",
    )  # fmt: skip
    yield Prepared(name, district)
    cluster.drop_database(name)


def labels_of(district: District, products: set[str], folder: Path) -> Path:
    """The labels of some scenes only, as a file."""
    import pyogrio

    frame = pyogrio.raw.read(district.labels)
    meta, _fids, geometry, fields = frame
    keep = [product in products for product in fields[list(meta["fields"]).index("product")]]
    path = folder / "labels.gpkg"
    pyogrio.raw.write(
        path,
        geometry[keep],
        [values[keep] for values in fields],
        meta["fields"],
        crs=meta["crs"],
        geometry_type="Polygon",
        driver="GPKG",
    )
    return path


@pytest.fixture
def prepared_url(cluster: Cluster, prepared: Prepared) -> Iterator[str]:
    """A copy of the prepared database for one test."""
    with copied_database(cluster, prepared.database) as url:
        yield url
