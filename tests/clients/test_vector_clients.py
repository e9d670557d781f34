"""What GDAL and QGIS make of the published layers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import date
from typing import Any

import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.grids import cells

SYSTEM_PYTHON = "/usr/bin/python3"

QGIS_SCRIPT = """
import json, sys
from qgis.core import QgsApplication, QgsDataSourceUri, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
found = {}
for schema, table, geometry, key in json.loads(sys.argv[2]):
    uri = QgsDataSourceUri(sys.argv[1])
    uri.setDataSource(schema, table, geometry, "", key)
    layer = QgsVectorLayer(uri.uri(False), table, "postgres")
    box = layer.extent()
    found[table] = [layer.isValid(), layer.featureCount(), layer.crs().authid(), layer.wkbType(),
                    [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
                    len({feature.id() for feature in layer.getFeatures()})]
print(json.dumps(found))
app.exitQgis()
"""
MULTIPOLYGON = 6


def missing(what: str) -> None:
    """Skip here, fail where the client must be installed."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture
def published(conn: Connection[Any]) -> Connection[Any]:
    footprint = cells("xxxx\nxxxx", "x")
    scene = add_scene(conn, "drawn", date(2021, 6, 1), footprint)
    add_mine(conn, "M1", footprint)
    publish_drawing(conn, scene, add_model(conn, "net"), 2021, "ppdd\nvvww")
    conn.commit()
    return conn


def test_qgis_opens_the_layers(published: Connection[Any], database_url: str) -> None:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], check=False, capture_output=True).returncode:
        missing("python3-qgis")
    parts = conninfo_to_dict(database_url)
    uri = (
        f"host='{parts['host']}' port={parts.get('port', 5432)} dbname='{parts['dbname']}'"
        f" user='{parts['user']}'"
    )
    layers = [
        ["lode_api", "landcover_map", "geom", "ogc_fid"],
        ["lode_api", "scene_catalogue", "geom", "ogc_fid"],
        ["lode", "mine", "boundary", "mine_id"],
    ]
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS_SCRIPT, uri, json.dumps(layers)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for table, count in (("landcover_map", 4), ("scene_catalogue", 1), ("mine", 1)):
        is_valid, features, crs, kind, extent, distinct = found[table]
        assert is_valid, table
        assert (features, distinct, crs, kind) == (count, count, "EPSG:4326", MULTIPOLYGON)
        assert extent == pytest.approx(cells("xxxx\nxxxx", "x").bounds, abs=1e-6)


def test_ogrinfo_knows_key_type_and_count(published: Connection[Any], database_url: str) -> None:
    if shutil.which("ogrinfo") is None:
        missing("gdal-bin")
    parts = conninfo_to_dict(database_url)
    source = (
        f"PG:host={parts['host']} port={parts.get('port', 5432)} dbname={parts['dbname']}"
        f" user={parts['user']}"
    )
    for layer, geometry in (
        ("lode_api.landcover_map", "Multi Polygon"),
        ("lode_api.damage_by_mine_year", "None"),
    ):
        done = subprocess.run(["ogrinfo", "-so", source, layer], check=True, capture_output=True, text=True)
        facts = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
        assert facts["Geometry"] == geometry
        assert "FID Column = ogc_fid" in done.stdout
        if geometry != "None":
            assert facts["Feature Count"] == "4"
            assert "4326" in done.stdout


def test_every_view_is_described_for_clients(published: Connection[Any]) -> None:
    rows = published.execute(
        "select c.relname, a.attname"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'lode_api'::regnamespace and (obj_description(c.oid, 'pg_class') is null"
        " or col_description(c.oid, a.attnum) is null)"
    ).fetchall()
    assert rows == []
