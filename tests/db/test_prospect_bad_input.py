"""What a geologist may get wrong: reference systems, names; nothing is misplaced or half stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from markupsafe import escape
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from inference.prospect.apply import SearchRequest, search_ground
from reporting.prospect_page import prospect_page
from reporting.prospect_report import gather_search
from tests.conftest import copied_database
from tests.db import searched_ground as made
from tests.db.ingested_features import geology
from tests.ingest_files import write_geojson

PLACES = np.array([[87.08, 43.90], [87.12, 43.93]])
"""Longitude and latitude of two deposits."""


def deposits_file(folder: Path, srid: int, crs: int | None) -> Path:
    """The deposits in one reference system, in a file that names the same, another or none."""
    x, y = pyproj.Transformer.from_crs(4326, srid, always_xy=True).transform(*PLACES.T)
    points = [shapely.Point(*each) for each in zip(x, y, strict=True)]
    named = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{crs}"}}
    said = {} if crs is None else {"crs": named}
    return write_geojson(folder / "deposits.geojson", points, [{"name": "A"}, {"name": "B"}], **said)


# WGS 84 and UTM of the zone and of the next one, web mercator, CGCS2000 in degrees and in Gauss-Krueger
@pytest.mark.parametrize("srid", [4326, 32645, 32644, 3857, 4490, 4504])
def test_deposits_land_where_they_are_whatever_their_reference_system(
    conn: Connection[Any], tmp_path: Path, srid: int
) -> None:
    geology(conn, "deposits", deposits_file(tmp_path, srid, srid))
    found = conn.execute("select st_x(geom), st_y(geom) from lode.deposit order by name").fetchall()
    np.testing.assert_allclose(np.array(found), PLACES, atol=1e-7)


@pytest.mark.parametrize(("srid", "crs"), [(32645, None), (32645, 4326)])
def test_metres_that_are_called_degrees_are_refused(
    conn: Connection[Any], tmp_path: Path, srid: int, crs: int | None
) -> None:
    with pytest.raises(UsageError, match=r"none was: row 1 .*outside the range of EPSG:4326"):
        geology(conn, "deposits", deposits_file(tmp_path, srid, crs))
    assert conn.execute("select count(*) from lode.deposit").fetchone() == (0,)


@pytest.fixture(scope="module")
def url(cluster: Cluster, template_database: str) -> Iterator[str]:
    with copied_database(cluster, template_database) as copy:
        with connect(copy) as conn:
            made.fill(conn)
        yield copy


@pytest.mark.parametrize(
    "name", ['O\'Brien "x"; drop table lode.model --', "锂铍" * 12, "x" * 70, "%s {0} {{ x }} <b>"]
)
def test_a_model_may_be_called_anything_that_is_a_name(url: str, name: str) -> None:
    with connect(url) as conn:
        made.add_model(conn, name, made.channels_of(), made.training_values())
        conn.commit()
        request = SearchRequest(name, product="home", device_name="cpu", least_cells=len(name))
        outcome = search_ground(url, request)
        report = gather_search(conn, outcome.run_id, 20)
        assert report.head.model == name
        assert f'id="model-name">{escape(name)}</span>' in prospect_page(conn, report, "en")
        conn.rollback()
        with pytest.raises(UsageError, match="there is no scene"):
            search_ground(url, SearchRequest(name, product=name, device_name="cpu"))
