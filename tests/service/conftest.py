"""Fixtures of the service's tests.

district    name of a database with eight small scenes of two years and a network; nobody changes it
"""

from __future__ import annotations

import pytest

from db.embedded import Cluster
from tests.service.district import fill_district

SCENES, SIDE_PX = 8, 96


@pytest.fixture(scope="session")
def district(cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = "lode_test_district"
    cluster.create_database(name, template=template_database)
    fill_district(cluster.url(name), tmp_path_factory.mktemp("district"), scenes=SCENES, side_px=SIDE_PX)
    return name
