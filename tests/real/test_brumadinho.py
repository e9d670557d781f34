"""The tailings flow of Brumadinho, 25 January 2019: one polygon of known area, from file to report.

Data: digitised by hand from a Planet image by Koko Alberti (MIT), a zipped shapefile in EPSG:32723.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
import shapely
from psycopg import Connection

from tests.conftest import RunLode
from tests.ingest_files import write_geojson
from tests.regions import add_region
from tests.support import test_data

AREA_M2 = 244.7e4
"""What the area of the flow is known to be."""

FLOW_ON = date(2019, 1, 25)
MINAS = shapely.box(-44.3, -20.3, -44.0, -20.0)


def test_area_of_the_flow(conn: Connection[Any], run_lode: RunLode, tmp_path: Any) -> None:
    path = test_data("brumadinho") / "brumadinho_damage_extent.zip"
    county = write_geojson(tmp_path / "c.geojson", [MINAS], [{"code": "3109006", "name": "Brumadinho"}])
    done = run_lode("ingest", "regions", county, "--layer-key", "county", "--name-zh", "县")
    assert done.returncode == 0, done.stderr
    done = run_lode(
        "ingest", "labels", path, "--class", "tailings_pond", "--valid-on", FLOW_ON.isoformat(), "--counted"
    )
    assert done.returncode == 0, done.stderr
    rows = conn.execute(
        "select region_name, year, kind, area_m2, outside_mine_area_m2, interpreted_area_m2, reason"
        " from lode_api.damage_by_region_year where area_m2 is not null"
    ).fetchall()
    near = pytest.approx(AREA_M2, rel=1e-3)
    assert rows == [("Brumadinho", 2019, "occupied", near, near, near, None)]
    # Two regions that share a border through the flow hold it together.
    west, south, east, north = MINAS.bounds
    for code, box in (("a", (west, south, -44.125, north)), ("b", (-44.125, south, east, north))):
        add_region(conn, "half", code, shapely.MultiPolygon([shapely.box(*box)]))
    halves = conn.execute(
        "select area_m2 from lode_api.damage_by_region_year where layer = 'half' and area_m2 is not null"
    ).fetchall()
    assert all(area > 0.1 * AREA_M2 for (area,) in halves)
    assert sum(area for (area,) in halves) == pytest.approx(rows[0][3], rel=1e-6)
