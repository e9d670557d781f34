"""QGIS opens layers with their styles, edits labels and alerts, and opens the project made without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from psycopg import Connection

from db.errors import UsageError
from db.qgis.commands import qgis_group
from db.qgis.layers import land_classes, layer_look, published_layers
from db.qgis.project import GROUPS, project_file
from db.qgis.styles import MARK, install_styles, style_faults
from tests.clients.programs import address, qgis_source, run_qgis
from tests.clients.world import World
from tests.grids import cells

OPEN_LAYERS = """
found = {}
for name, source in arguments["sources"]:
    layer = QgsVectorLayer(source, name, "postgres")
    found_at_once = layer.renderer().type()
    is_loaded = layer.loadDefaultStyle()[1]  # as the desktop does; replaces the renderer
    renderer = layer.renderer()
    categorised = renderer.type() == "categorizedSymbol"
    temporal = layer.temporalProperties()
    found[name] = {
        "valid": layer.isValid(),
        "attribute": renderer.classAttribute() if categorised else None,
        "legend": [[str(c.value()), c.label(), c.symbol().color().name()] for c in renderer.categories()]
        if categorised else [],
        "loaded": is_loaded and found_at_once == renderer.type(),
        "temporal": [temporal.isActive(), temporal.startField(), temporal.endField()],
        "aliases": {f.name(): layer.attributeAlias(i) for i, f in enumerate(layer.fields())},
        "widgets": {f.name(): [layer.editorWidgetSetup(i).type(), layer.editorWidgetSetup(i).config()]
                    for i, f in enumerate(layer.fields())},
    }
"""

EDIT = """
layer = QgsVectorLayer(arguments["source"], "edited", "postgres")
assert layer.isValid()
feature = next(layer.getFeatures(QgsFeatureRequest().setFilterExpression(arguments["which"])))
layer.startEditing()
for field, value in arguments["values"].items():
    assert layer.changeAttributeValue(feature.id(), layer.fields().indexOf(field), value)
if "wkt" in arguments:
    assert layer.changeGeometry(feature.id(), QgsGeometry.fromWkt(arguments["wkt"]))
committed = layer.commitChanges()
found = [committed, layer.commitErrors(), layer.capabilitiesString()]
"""

OPEN_PROJECT = """
project = QgsProject.instance()
is_read = project.read(arguments["path"])
box = project.viewSettings().defaultViewExtent()
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor
settings = QgsMapSettings()
settings.setDestinationCrs(project.crs())
settings.setTransformContext(project.transformContext())
settings.setOutputSize(QSize(400, 300))
settings.setBackgroundColor(QColor("white"))
settings.setExtent(box)
settings.setFlag(QgsMapSettings.Antialiasing, False)
settings.setLayers([project.mapLayers()[arguments["drawn"]]])
job = QgsMapRendererSequentialJob(settings)
job.start()
job.waitForFinished()
image = job.renderedImage()
colours = {QColor(image.pixel(x, y)).name() for x in range(400) for y in range(300)}
found = {"read": is_read, "colours": sorted(colours), "crs": project.crs().authid(),
         "groups": {}, "layers": {},
         "box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]}
for group in project.layerTreeRoot().children():
    found["groups"][group.name()] = [child.name() for child in group.children()]
for identity, layer in project.mapLayers().items():
    is_vector = layer.type() == QgsMapLayer.VectorLayer
    renderer = layer.renderer() if is_vector else None
    found["layers"][identity] = {
        "valid": layer.isValid() and (not layer.isSpatial() or layer.crs().isValid()),
        "name": layer.name(), "crs": layer.crs().authid(), "vector": is_vector,
        "count": layer.featureCount() if is_vector else None,
        "temporal": layer.temporalProperties().isActive() if is_vector else None,
        "legend": [c.label() for c in renderer.categories()]
        if renderer is not None and renderer.type() == "categorizedSymbol" else [],
    }
"""


DRAWN = "lode_api_landcover_map_geom_2021"
"""Layer of the project that is drawn in the project's own extent and coordinate system."""


def source(world: World, table: str, column: str, key: str) -> str:
    schema, _, name = table.partition(".")
    geometry = f' srid=4326 type=MultiPolygon table="{schema}"."{name}" ({column})'
    return f"{qgis_source(world.url)} key='{key}' checkPrimaryKeyUnicity='1'{geometry}"


@pytest.fixture(scope="module")
def opened(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    layers = {
        "landcover_map": source(world, "lode_api.landcover_map", "geom", "ogc_fid"),
        "damage_alert": source(world, "lode_api.damage_alert", "geom", "ogc_fid"),
        "label": source(world, "lode.label", "geom", "label_id"),
        "mine_damage": source(world, "lode.mine_damage", "geom", "mine_damage_id"),
        "damage_change": source(world, "lode.damage_change", "geom", "damage_change_id"),
        "alert": source(world, "lode.alert", "geom", "alert_id"),
    }
    found: dict[str, Any] = run_qgis(
        OPEN_LAYERS, tmp_path_factory.mktemp("qgis"), sources=list(layers.items())
    )
    return found


def test_layers_open_with_the_styles_of_the_database(world: World, opened: dict[str, Any]) -> None:
    classes = world.conn.execute(
        "select land_class_code, key, name || ' ' || name_zh, colour from lode.land_class order by 1"
    ).fetchall()
    assert all(layer["valid"] and layer["loaded"] for layer in opened.values())
    land_cover = opened["landcover_map"]
    assert land_cover["attribute"] == "land_class"
    assert land_cover["legend"] == [[key, label, colour] for _code, key, label, colour in classes]
    assert ["open_pit", "open pit 露天采场", "#d7301f"] in land_cover["legend"]
    assert opened["label"]["legend"] == [[str(code), label, colour] for code, _key, label, colour in classes]
    assert [entry[:2] for entry in opened["damage_change"]["legend"]] == [
        ["new", "new damage 新增损毁"],
        ["persisting", "persisting damage 持续损毁"],
        ["treated", "treated 已治理"],
    ]
    assert [entry[0] for entry in opened["damage_alert"]["legend"]] == ["severe", "warning", "notice"]
    assert {entry[0] for entry in opened["mine_damage"]["legend"]} >= {"excavated", "occupied", "subsided"}


def test_layers_follow_the_temporal_controller(opened: dict[str, Any]) -> None:
    for name in ("landcover_map", "mine_damage", "damage_change", "damage_alert"):
        assert opened[name]["temporal"] == [True, "start_date", "end_date"], name
    assert opened["label"]["temporal"][:2] == [True, "valid_on"]


def test_fields_have_names_in_both_languages(opened: dict[str, Any]) -> None:
    for layer in opened.values():
        assert all(alias for alias in layer["aliases"].values())
    assert opened["landcover_map"]["aliases"]["area_m2"] == "Area, m² 面积（平方米）"


def test_classes_and_states_are_chosen_from_a_list(world: World, opened: dict[str, Any]) -> None:
    kind, config = opened["label"]["widgets"]["land_class_code"]
    assert kind == "ValueMap"
    rows = world.conn.execute("select name || ' ' || name_zh, land_class_code::text from lode.land_class")
    assert {key: value for entry in config["map"] for key, value in entry.items()} == dict(rows.fetchall())
    for name in ("alert", "damage_alert"):
        kind, config = opened[name]["widgets"]["state"]
        assert kind == "ValueMap"
        assert [next(iter(entry.values())) for entry in config["map"]] == ["open", "confirmed", "rejected"]


def test_an_edited_label_is_stored_and_counts(world: World, tmp_path: Path) -> None:
    ground = cells("....\n.x..", "x")
    committed, said, _able = run_qgis(
        EDIT,
        tmp_path,
        source=source(world, "lode.label", "geom", "label_id"),
        which=f'"label_id" = {world.label_id}',
        values={"land_class_code": 5, "interpreter": "in QGIS"},
        wkt=ground.wkt,
    )
    assert committed, said
    world.conn.rollback()
    row = world.conn.execute(
        "select land_class_code, interpreter, st_astext(geom, 9) = st_astext(%s::geometry, 9) from lode.label"
        " where label_id = %s",
        (ground.wkt, world.label_id),
    ).fetchone()
    assert row == (5, "in QGIS", True)


@pytest.mark.parametrize(
    ("table", "key", "state"),
    [("lode_api.damage_alert", "ogc_fid", "confirmed"), ("lode.alert", "alert_id", "rejected")],
)
def test_an_inspector_reviews_an_alert(
    world: World, tmp_path: Path, table: str, key: str, state: str
) -> None:
    row = world.conn.execute("select min(alert_id) from lode.alert where state = 'open'").fetchone()
    assert row is not None
    assert row[0] is not None, "the district raises no alert"
    committed, said, _able = run_qgis(
        EDIT,
        tmp_path,
        source=source(world, table, "geom", key),
        which=f'"{key}" = {row[0]}',
        values={"state": state, "note": "seen on the spot"},
    )
    assert committed, said
    world.conn.rollback()
    stored = world.conn.execute(
        "select state, note, reviewed_by, reviewed_at is not null from lode.alert where alert_id = %s", row
    ).fetchone()
    assert stored == (state, "seen on the spot", address(world.url)["user"], True)


def expected_groups(world: World) -> set[str]:
    assert len(GROUPS) == 8
    return {f"{english} {chinese}" for english, chinese in GROUPS.values()}


def check_project(world: World, found: dict[str, Any]) -> None:
    assert found["read"]
    assert found["crs"] == "EPSG:3857"
    assert set(found["groups"]) == expected_groups(world)
    assert all(found["groups"].values())
    assert [layer["name"] for layer in found["layers"].values() if not layer["valid"]] == []
    assert sum(len(names) for names in found["groups"].values()) == len(found["layers"])
    years = found["groups"]["Land cover by year 逐年土地覆盖"]
    assert years == ["Land cover 土地覆盖 2022", "Land cover 土地覆盖 2021"]
    labels = [
        row[0]
        for row in world.conn.execute(
            "select name || ' ' || name_zh from lode.land_class order by land_class_code"
        )
    ]
    for year in (2021, 2022):
        layer = found["layers"][f"lode_api_landcover_map_geom_{year}"]
        count = world.conn.execute("select count(*) from lode_api.landcover_map where year = %s", (year,))
        assert (layer["count"],) == count.fetchone()
        assert layer["legend"] == labels
        assert (layer["temporal"], layer["crs"]) == (True, "EPSG:4326")
    west, south, east, north = found["box"]
    assert 0 < east - west < 2000
    assert 0 < north - south < 1200
    # Drawn where it lies, in the colours of the classes.
    published = world.conn.execute("select distinct colour from lode_api.landcover_map where year = 2021")
    assert {colour for (colour,) in published} <= set(found["colours"])


def test_the_project_opens_with_every_layer(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lode.qgz"
    path.write_bytes(project_file(world.conn, title="lode", scene_count=5))
    found = run_qgis(OPEN_PROJECT, tmp_path, path=str(path), drawn=DRAWN)
    check_project(world, found)
    vectors = {name for name, layer in found["layers"].items() if layer["vector"]}
    # Land cover is there once a year, prospectivity once for each of its three scores.
    assert len(vectors) == len(published_layers(world.conn)) + 1 + 2


def test_the_command_stores_a_project_that_qgis_opens(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", world.url)
    done = CliRunner().invoke(qgis_group, ["project", "--name", "stored"], catch_exceptions=False)
    assert done.exit_code == 0
    parts = address(world.url)
    # QGIS's address of a stored project has no place for a folder of sockets.
    where = f"import os; os.environ['PGHOST'] = {parts['host']!r}\n"
    found = run_qgis(
        where + OPEN_PROJECT,
        tmp_path,
        drawn=DRAWN,
        path=f"postgresql://{parts['user']}@:{parts['port']}?dbname={parts['dbname']}&schema=public"
        "&project=stored",
    )
    check_project(world, found)


def styles(conn: Connection[Any]) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select f_table_schema, f_table_name, f_geometry_column, stylename, useasdefault, description,"
        " md5(styleqml::text) from public.layer_styles where f_table_catalog = current_database()"
        " order by 1, 2, 3, 4, 5"
    ).fetchall()


def test_every_published_layer_has_its_styles(world: World) -> None:
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {
        (row[0], row[1], row[2]): [] for row in styles(world.conn)
    }
    for row in styles(world.conn):
        found[row[:3]].append(row[3:5])
    more = ("Lode anomaly", "Lode favourability", "Lode 中文 anomaly", "Lode 中文 favourability")
    wanted = {
        (layer.schema, layer.table, layer.column or None): {("Lode", True), ("Lode 中文", False)}
        for layer in published_layers(world.conn)
    }
    wanted["lode_api", "prospectivity_map", "geom"] |= {(name, False) for name in more}
    assert {key: set(names) for key, names in found.items()} == wanted
    assert all(len(names) == len(wanted[key]) for key, names in found.items()), "none is there twice"


def test_installing_again_changes_nothing(world: World) -> None:
    before = styles(world.conn)
    assert install_styles(world.conn) == 0
    assert styles(world.conn) == before
    world.conn.rollback()


def test_peoples_styles_are_left_alone(world: World) -> None:
    layer = "f_table_schema = 'lode' and f_table_name = 'mine_damage'"
    world.conn.execute(f"delete from public.layer_styles where {layer}")
    world.conn.execute(
        "insert into public.layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
        " stylename, styleqml, useasdefault, description) values (current_database(), 'lode', 'mine_damage',"
        " 'geom', 'Ours', '<qgis/>', true, 'by us'), (current_database(), 'lode', 'mine_damage', 'geom',"
        " 'Lode 中文', '<qgis/>', false, 'changed by us')"
    )
    assert install_styles(world.conn) == 1
    rows = world.conn.execute(
        f"select stylename, description, useasdefault from public.layer_styles where {layer} order by 1"
    ).fetchall()
    assert rows == [
        ("Lode", MARK, False),
        ("Lode 中文", "changed by us", False),
        ("Ours", "by us", True),
    ]
    world.conn.rollback()


def test_a_changed_colour_reaches_the_styles(world: World) -> None:
    world.conn.execute("update lode.land_class set colour = '#010203' where key = 'open_pit'")
    assert install_styles(world.conn) > 0
    row = world.conn.execute(
        "select styleqml::text from public.layer_styles where f_table_name = 'landcover_map'"
        " and stylename = 'Lode'"
    ).fetchone()
    assert row is not None
    assert "1,2,3,255" in row[0]
    world.conn.rollback()


def test_a_restore_under_another_name_is_told_and_mended(world: World) -> None:
    assert style_faults(world.conn) == []
    count = len(styles(world.conn))
    world.conn.execute(
        "update public.layer_styles set f_table_catalog = 'before' where description = %s", (MARK,)
    )
    name = address(world.url)["dbname"]
    assert style_faults(world.conn) == [
        f"the styles in public.layer_styles are for a database named before, this one is {name}"
    ]
    assert install_styles(world.conn) == 2 * count
    assert style_faults(world.conn) == []
    world.conn.execute("delete from public.layer_styles")
    assert style_faults(world.conn) == [f"public.layer_styles holds no style of Lode for the database {name}"]
    world.conn.execute("drop table public.layer_styles")
    assert "there is no table public.layer_styles" in style_faults(world.conn)[0]
    assert install_styles(world.conn) == count
    world.conn.rollback()


def test_a_style_in_chinese_only_has_no_english_legend(world: World) -> None:
    classes = land_classes(world.conn)
    for layer in published_layers(world.conn):
        look = layer_look(layer, classes, chinese_only=True)
        for category in look.categories:
            assert all("\u4e00" <= letter <= "\u9fff" for letter in category.label), category


def test_a_project_somebody_saved_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LODE_DATABASE_URL", world.url)
    for _again in range(2):
        done = CliRunner().invoke(qgis_group, ["project", "--name", "kept"], catch_exceptions=False)
        assert done.exit_code == 0
    world.conn.execute(
        'update public.qgis_projects set metadata = \'{"last_modified_user": "somebody"}\''
        " where name = 'kept'"
    )
    world.conn.commit()
    with pytest.raises(UsageError, match="holds a project kept that was saved in QGIS"):
        CliRunner().invoke(qgis_group, ["project", "--name", "kept"], catch_exceptions=False)
