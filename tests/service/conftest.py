"""Fixtures of the service's tests.

district    name of a database with eight small scenes of two years and a network; nobody changes it
catalogue   connection to a fresh database with two scenes and a network
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db.embedded import Cluster
from tests.catalogue_rows import add_model, add_scene
from tests.grids import cells
from tests.service.district import fill_district

SCENES, SIDE_PX = 8, 96


@pytest.fixture(scope="session")
def district(cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    name = "lode_test_district"
    cluster.create_database(name, template=template_database)
    fill_district(cluster.url(name), tmp_path_factory.mktemp("district"), scenes=SCENES, side_px=SIDE_PX)
    return name


@pytest.fixture
def catalogue(conn: Connection[Any]) -> Connection[Any]:
    add_model(conn, "net")
    for product in ("a", "b"):
        add_scene(conn, product, date(2022, 6, 1), cells("xx\nxx", "x"))
    conn.commit()
    return conn
