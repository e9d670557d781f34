"""QGIS draws a search that was made without deposits: three scores by shade, reasons, the raster."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.qgis.project import project_file
from db.qgis.prospects import SCORE_NAMES, SCORE_RAMPS, ramp_colour, score_ranges
from db.qgis.styles import install_styles
from tests.clients.drawn_prospectivity import ANOMALY, add_drawn_prospectivity
from tests.clients.programs import qgis_source, run_qgis
from tests.conftest import copied_database

PROJECT = """
project = QgsProject.instance()
found = {"read": project.read(arguments["path"]), "layers": {}}
for identity, layer in project.mapLayers().items():
    if layer.type() != QgsMapLayer.VectorLayer or "prospect" not in identity:
        continue
    told = {"valid": layer.isValid(), "name": layer.name(), "spatial": layer.isSpatial(),
            "count": layer.featureCount()}
    renderer = layer.renderer() if layer.isSpatial() else None
    if renderer is not None and renderer.type() == "graduatedSymbol":
        context = QgsRenderContext()
        renderer.startRender(context, layer.fields())
        drawn = {}
        for feature in layer.getFeatures():
            context.expressionContext().setFeature(feature)
            symbol = renderer.symbolForFeature(feature, context)
            drawn[str(feature[renderer.classAttribute()])] = symbol.color().name() if symbol else None
        renderer.stopRender(context)
        told.update(attribute=renderer.classAttribute(), drawn=drawn,
                    legend=[item.label() for item in renderer.legendSymbolItems()])
    found["layers"][identity] = told
for layer in project.mapLayers().values():
    if layer.type() == QgsMapLayer.RasterLayer:
        shader = layer.renderer().shader().rasterShaderFunction()
        found["layers"][layer.id()] = {
            "valid": layer.isValid(), "name": layer.name(), "band": layer.renderer().band(),
            "colours": {str(value): "#%02x%02x%02x" % tuple(shader.shade(value)[1:4])
                        for value in arguments["shaded"]}}
raster = QgsRasterLayer(arguments["raster"], "scores", "postgresraster")
found["raster"] = [raster.isValid(), raster.bandCount(), raster.crs().authid()]
"""
STYLES = """
layer = QgsVectorLayer(arguments["source"], "map", "postgres")
is_loaded = layer.loadDefaultStyle()[1]
found = [layer.isValid() and is_loaded, layer.renderer().classAttribute(), []]
for name in layer.listStylesInDatabase()[2]:
    found[2].append(name)
"""

SHADED = (0.15, 0.85, 50.0)
"""Values of which the colours in the raster's layers are asked."""

Searched = tuple[str, Connection[Any], int]


@pytest.fixture(scope="module")
def searched(cluster: Cluster, template_database: str) -> Iterator[Searched]:
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        run_id = add_drawn_prospectivity(url, conn)
        install_styles(conn)  # a copy under another name
        conn.commit()
        yield url, conn, run_id


@pytest.fixture(scope="module")
def opened(searched: Searched, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    url, conn, run_id = searched
    folder = tmp_path_factory.mktemp("qgis")
    path = folder / "lode.qgz"
    path.write_bytes(project_file(conn, title="lode", scene_count=0))
    raster = (
        f"PG: {qgis_source(url)} mode='2' schema='lode_raster' column='rast' table='prospect_score_{run_id}'"
    )
    found: dict[str, Any] = run_qgis(PROJECT, folder, path=str(path), raster=raster, shaded=SHADED)
    assert found["read"]
    return found


def test_each_score_is_a_layer_with_a_legend_of_its_own(opened: dict[str, Any]) -> None:
    layers = {score: opened["layers"][f"lode_api_prospectivity_map_geom_{score}"] for score in SCORE_NAMES}
    for score, layer in layers.items():
        assert layer["valid"]
        assert layer["count"] == 68
        assert layer["attribute"] == score
        assert None not in layer["drawn"].values(), "a cell in no class is not drawn"
        assert layer["name"] == " ".join(SCORE_NAMES[score])
    ramp = SCORE_RAMPS["prospectivity"]
    drawn = {round(float(value), 2): colour for value, colour in layers["prospectivity"]["drawn"].items()}
    assert drawn == {
        0.95: ramp_colour(0.95, ramp), 0.8: ramp_colour(0.85, ramp), 0.1: ramp_colour(0.15, ramp)
    }  # fmt: skip
    assert layers["prospectivity"]["legend"] == [f"{low / 10:.1f}–{low / 10 + 0.1:.1f}" for low in range(10)]
    anomaly = layers["anomaly"]
    assert anomaly["legend"][-1] == "≥ 6"
    drawn = {round(float(value), 2): colour for value, colour in anomaly["drawn"].items()}
    assert set(drawn) == set(ANOMALY.values())
    assert drawn[7.5] == SCORE_RAMPS["anomaly"][-1]
    assert drawn[0.0] == SCORE_RAMPS["anomaly"][0]


def test_reasons_are_a_table(opened: dict[str, Any]) -> None:
    table = opened["layers"]["lode_api_prospect_reason"]
    assert (table["valid"], table["spatial"], table["count"]) == (True, False, 2)


def test_the_raster_opens_with_all_bands(opened: dict[str, Any]) -> None:
    assert opened["raster"] == [True, 6, "EPSG:32645"]


def test_each_score_is_a_raster_layer_in_the_same_colours(searched: Searched, opened: dict[str, Any]) -> None:
    _url, _conn, run_id = searched
    for band, score in enumerate(("prospectivity", "anomaly", "favourability"), 1):
        layer = opened["layers"][f"lode_raster_prospect_score_{run_id}_{score}"]
        assert (layer["valid"], layer["band"]) == (True, band)
        assert layer["name"].endswith(" ".join(SCORE_NAMES[score]))
        classes = score_ranges(score)
        for value in SHADED:
            colour = next((each.colour for each in classes if each.lower <= value < each.upper), None)
            assert layer["colours"][str(value)] == (colour or classes[-1].colour)


def test_the_map_has_a_style_for_each_score(searched: Searched, tmp_path: Path) -> None:
    url, _conn, _run_id = searched
    source = (
        f"{qgis_source(url)} key='ogc_fid' checkPrimaryKeyUnicity='1' srid=4326 type=Polygon"
        ' table="lode_api"."prospectivity_map" (geom)'
    )
    is_drawn, attribute, names = run_qgis(STYLES, tmp_path, source=source)
    assert is_drawn
    assert attribute == "prospectivity"
    assert {"Lode", "Lode anomaly", "Lode favourability"} <= set(names)


def test_a_rank_is_not_called_a_probability_and_looks_like_none() -> None:
    for chinese_only in (False, True):
        said = SCORE_NAMES["prospectivity"][chinese_only]
        assert "probability" not in said.replace("no probability", "")
        assert "概率" not in said.replace("非概率", "")
    shades = {ramp[-1] for ramp in SCORE_RAMPS.values()}
    assert len(shades) == len(SCORE_RAMPS)
    assert ramp_colour(1.0) not in shades


def test_classes_leave_no_gap_and_the_anomaly_has_no_end() -> None:
    for score in SCORE_NAMES:
        ranges = score_ranges(score)
        assert all(each.upper == after.lower for each, after in pairwise(ranges))
        assert ranges[0].lower == 0
    assert score_ranges("anomaly")[-1].upper > 1e6
    assert score_ranges("favourability")[-1].upper == 1
