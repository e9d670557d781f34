"""QGIS draws what a search for ore found: probabilities by shade, targets with rank, patches by part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.qgis.project import project_file
from db.qgis.prospects import PROBABILITY_RAMP, ramp_colour
from db.qgis.styles import install_styles
from tests.clients.programs import qgis_source, run_qgis
from tests.conftest import copied_database
from tests.db import prospect_rows as rows

OPEN = """
found = {}
for name, source in arguments["sources"]:
    layer = QgsVectorLayer(source, name, "postgres")
    is_loaded = layer.loadDefaultStyle()[1]
    renderer = layer.renderer()
    context = QgsRenderContext()
    renderer.startRender(context, layer.fields())
    drawn = []
    for feature in layer.getFeatures():
        context.expressionContext().setFeature(feature)
        symbol = renderer.symbolForFeature(feature, context)
        fill = symbol.symbolLayer(0)
        drawn.append([feature.attributes(), symbol.color().name(), fill.strokeColor().name()])
    renderer.stopRender(context)
    labels = layer.labeling().settings().fieldName if layer.labelsEnabled() else None
    found[name] = {"valid": layer.isValid() and is_loaded, "type": renderer.type(), "labels": labels,
                   "fields": [field.name() for field in layer.fields()],
                   "drawn": [[[str(each) for each in values], *colours] for values, *colours in drawn],
                   "legend": [item.label() for item in renderer.legendSymbolItems()]}
"""

OPEN_PROJECT = """
project = QgsProject.instance()
found = [project.read(arguments["path"])]
for group in project.layerTreeRoot().children():
    found.append([group.name(), [child.name() for child in group.children()]])
found.append([layer.name() for layer in project.mapLayers().values() if not layer.isValid()])
"""


@pytest.fixture(scope="module")
def searched(cluster: Cluster, template_database: str) -> Iterator[tuple[str, Connection[Any]]]:
    with copied_database(cluster, template_database) as url, connect(url) as conn:
        rows.add_whole_search(conn)
        install_styles(conn)  # a copy under another name
        conn.commit()
        yield url, conn


def test_layers_of_a_search_open_with_their_styles(
    searched: tuple[str, Connection[Any]], tmp_path: Path
) -> None:
    url, _conn = searched
    kinds = {"prospect_map": "Polygon", "prospect_target": "MultiPolygon", "prospect_sample": "Polygon"}
    sources = [
        (
            name,
            f"{qgis_source(url)} key='ogc_fid' checkPrimaryKeyUnicity='1' srid=4326 type={kind}"
            f' table="lode_api"."{name}" (geom)',
        )
        for name, kind in kinds.items()
    ]
    found = run_qgis(OPEN, tmp_path, sources=sources)
    assert all(layer["valid"] for layer in found.values())

    cells = found["prospect_map"]
    assert cells["type"] == "graduatedSymbol"
    assert cells["legend"][0] == "0.0–0.1"
    assert len(cells["legend"]) == 10
    at = cells["fields"].index("probability")
    seen = {round(float(values[at]), 2): colour for values, colour, _edge in cells["drawn"]}
    assert seen == {0.1: ramp_colour(0.15), 0.8: ramp_colour(0.85), 0.95: ramp_colour(0.95)}

    assert found["prospect_target"]["labels"] == "rank"

    patches = found["prospect_sample"]
    assert patches["type"] == "categorizedSymbol"
    assert patches["legend"][:2] == ["training, ore-bearing 训练含矿", "training, barren 训练不含矿"]
    at = patches["fields"].index("split")
    assert {values[at]: edge for values, _colour, edge in patches["drawn"]} == {
        "train": "#1f4e9e", "test": "#b15928"
    }  # fmt: skip


def test_a_project_lists_targets_above_the_probabilities(
    searched: tuple[str, Connection[Any]], tmp_path: Path
) -> None:
    _url, conn = searched
    path = tmp_path / "lode.qgz"
    path.write_bytes(project_file(conn, title="lode", scene_count=0))
    is_read, *groups, invalid = run_qgis(OPEN_PROJECT, tmp_path, path=str(path))
    assert is_read
    assert invalid == []
    names = [name for name, _layers in groups]
    assert names.index("Geology 地质") + 1 == names.index("Where ore may lie 找矿预测")
    assert dict(groups)["Where ore may lie 找矿预测"][:3] == [
        "Targets 找矿靶区", "Patches that networks learn from 训练图块", "Probability of ore 成矿概率"
    ]  # fmt: skip


def test_colours_get_ever_darker() -> None:
    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    shades = [lightness(ramp_colour(place / 100)) for place in range(101)]
    assert shades == sorted(shades, reverse=True)
    assert (ramp_colour(-1), ramp_colour(2)) == (PROBABILITY_RAMP[0], PROBABILITY_RAMP[-1])
