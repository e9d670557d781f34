"""GDAL and OGR read a search that was made without deposits: six bands, cells with all scores, reasons."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.prospect_runs import SCORED_BAND_NAMES
from tests.clients.drawn_prospectivity import REASONS, add_drawn_prospectivity, drawn_bands
from tests.clients.programs import need, ogr_source
from tests.conftest import copied_database
from tests.db import prospect_rows as rows

Searched = tuple[str, Connection[Any], int]


@pytest.fixture(scope="module")
def searched(cluster: Cluster, template_database: str) -> Iterator[Searched]:
    need("gdalinfo", "gdal-bin")
    need("ogrinfo", "gdal-bin")
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        yield url, conn, add_drawn_prospectivity(url, conn)


def features(url: str, view: str, where: str, folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """What ogrinfo says of a view, and its features."""
    source = ogr_source(url)
    said = subprocess.run(
        ["ogrinfo", "-so", source, f"lode_api.{view}"], check=True, capture_output=True, text=True
    )
    path = folder / f"{view}.geojson"
    subprocess.run(
        ["ogr2ogr", "-f", "GeoJSON", str(path), source, f"lode_api.{view}", "-where", where], check=True
    )
    read = json.loads(path.read_text())["features"]
    return said.stdout, [{**each["properties"], "type": each["geometry"]["type"]} for each in read]


def test_bands_are_those_of_the_search(searched: Searched, tmp_path: Path) -> None:
    url, conn, run_id = searched
    name = f"{ogr_source(url)} schema='lode_raster' table='prospect_score_{run_id}' mode=2"
    path = tmp_path / "scores.tif"
    done = subprocess.run(
        ["gdal_translate", "-q", name, str(path)], check=True, capture_output=True, text=True
    )
    assert "ERROR" not in done.stderr
    with rasterio.open(path) as file:
        bands = file.read()
        assert file.crs.to_epsg() == rows.SRID
        assert (file.transform.c, file.transform.f, file.transform.a) == (rows.WEST, rows.NORTH, rows.CELL_M)
        assert all(np.isnan(each) for each in file.nodatavals)
    np.testing.assert_array_equal(bands, drawn_bands())
    stored = conn.execute(
        "select band_names, score_kind from lode.prospect_run where prospect_run_id = %s", (run_id,)
    ).fetchone()
    assert stored == (list(SCORED_BAND_NAMES), "prospectivity")


def test_cells_hold_what_the_bands_hold(searched: Searched, tmp_path: Path) -> None:
    url, conn, run_id = searched
    said, found = features(url, "prospectivity_map", f"prospect_run_id = {run_id}", tmp_path)
    assert "Geometry: Polygon" in said
    assert "FID Column = ogc_fid" in said
    assert {each["type"] for each in found} == {"Polygon"}
    bands = drawn_bands()
    is_scored = np.isfinite(bands[0])
    assert len(found) == is_scored.sum() == 68
    first = min(found, key=lambda each: each["rank"])
    for place, name in enumerate(SCORED_BAND_NAMES):
        expected = np.sort(bands[place][is_scored])
        np.testing.assert_array_equal(np.sort([each[name] for each in found]), expected.astype(np.float64))
    best = bands[:, is_scored][:, np.argmax(bands[0][is_scored])]
    assert [first[name] for name in SCORED_BAND_NAMES] == best.astype(np.float64).tolist()
    assert sum(bool(each["is_target"]) for each in found) == 6
    probable = conn.execute("select count(*) from lode_api.prospect_map").fetchone()
    assert probable == (0,), "a rank is no probability: the map of probabilities does not show it"


def test_reasons_lie_on_their_cell(searched: Searched, tmp_path: Path) -> None:
    url, conn, run_id = searched
    _said, found = features(url, "prospect_reason", f"prospect_run_id = {run_id}", tmp_path)
    told = sorted(found, key=lambda each: each["place"])
    assert [(each["kind"], each["name"], each["value"], each["expected"]) for each in told] == [
        (reason.kind, reason.name, reason.value, reason.expected) for reason in REASONS
    ]
    cell = conn.execute(
        "select prospectivity, is_target from lode_api.prospectivity_map where ogc_fid = %s",
        (told[0]["prospect_id"],),
    ).fetchone()
    assert cell == (float(np.float32(0.95)), True)
