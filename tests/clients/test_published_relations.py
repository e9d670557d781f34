"""Every published relation as clients meet it: catalogue, OGR, QGIS. Relations are found, not listed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import Connection

from db.api import api_files
from db.qgis.layers import FORM_TABLES, MAP_TABLES
from db.raster.tables import PARENT_KEYS
from db.role_grants import OWN_VIEWS
from db.tables import metadata
from tests.clients.programs import need, ogr_source, qgis_source, run_qgis
from tests.clients.world import World

OF_TILES = "lode.damage_general"
"""In the coordinates of web maps; everything else is in EPSG:4326."""

OGR_TYPES = {
    "MULTIPOLYGON": "Multi Polygon",
    "POLYGON": "Polygon",
    "MULTILINESTRING": "Multi Line String",
    "POINT": "Point",
}
ALWAYS_FILLED = {
    "lode.mine", "lode.label", "lode.region", "lode.fault", "lode.pluton", "lode.deposit", "lode.alert",
    "lode.scene", "lode.landcover", "lode.mine_damage", "lode.damage_patch", "lode.damage_change",
    "lode_api.landcover_map", "lode_api.scene_catalogue", "lode_api.damage_alert",
    "lode_api.damage_by_mine_year", "lode_api.damage_by_year", "lode_api.run_history",
}  # fmt: skip
"""Relations of which the district has rows, so that counts and extents say something."""

COMPUTED = {"lode_api.evidence", *(f"lode_api.{name}" for name in OWN_VIEWS)}
"""Views whose geometry is made of several columns, so that a box alone reads all of it: ask by mine.

Those of mine owners read their own rows alone; the index that their maps use is asserted in
``tests/db/test_privacy.py``.
"""

QGIS_SCRIPT = """
found = {}
for name, source in arguments["sources"].items():
    options = QgsVectorLayer.LayerOptions()
    options.loadDefaultStyle = False
    layer = QgsVectorLayer(source, name, "postgres", options)
    box = layer.extent()
    found[name] = {
        "valid": layer.isValid(), "count": layer.featureCount(), "crs": layer.crs().authid(),
        "type": QgsWkbTypes.displayString(layer.wkbType()),
        "box": [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()],
        "ids": len({feature.id() for feature in layer.getFeatures()}),
        "keys": [layer.fields()[i].name() for i in layer.primaryKeyAttributes()],
    }
for name, source in arguments["rasters"].items():
    layer = QgsRasterLayer(source, name, "postgresraster")
    found[name] = {"valid": layer.isValid(), "size": [layer.width(), layer.height()],
                   "bands": layer.bandCount(), "crs": layer.crs().authid()}
"""


@dataclass(frozen=True)
class Relation:
    """A view of lode_api, or a table of lode that holds ground or that people fill in."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def published() -> list[Relation]:
    views = [Relation("lode_api", file.name) for file in api_files() if file.kind == "view"]
    with_ground = {
        table.name
        for table in metadata.tables.values()
        if table.schema == "lode"
        and any(type(column.type).__name__ == "Geometry" for column in table.columns)
    }
    known = {table.name for table in metadata.tables.values() if table.schema == "lode"}
    tables = with_ground | (set(MAP_TABLES) | set(FORM_TABLES)) & known
    return views + [Relation("lode", name) for name in sorted(tables)]


RELATIONS = published()


@dataclass(frozen=True)
class Facts:
    """What PostgreSQL says of a relation: its columns, geometries, key and rows."""

    columns: list[tuple[str, str]]
    geometries: dict[str, tuple[str, int]]
    count: int

    @property
    def key(self) -> str:
        return self.columns[0][0]


def facts_of(conn: Connection[Any], relation: Relation) -> Facts:
    columns = conn.execute(
        "select attname::text, atttypid::regtype::text from pg_attribute where attrelid = %s::regclass"
        " and attnum > 0 and not attisdropped order by attnum",
        (str(relation),),
    ).fetchall()
    geometries = conn.execute(
        "select f_geometry_column::text, type::text, srid from geometry_columns where f_table_schema = %s"
        " and f_table_name = %s",
        (relation.schema, relation.name),
    ).fetchall()
    count = conn.execute(f"select count(*) from {relation}").fetchone()
    assert count is not None
    return Facts(columns, {name: (kind, srid) for name, kind, srid in geometries}, count[0])


@pytest.fixture(scope="module")
def facts(world: World) -> dict[str, Facts]:
    return {str(relation): facts_of(world.conn, relation) for relation in RELATIONS}


@pytest.fixture(scope="module")
def in_ogr(world: World, facts: dict[str, Facts]) -> dict[str, str]:
    """What ogrinfo says of each layer: a table with several geometries is a layer for each."""
    need("ogrinfo", "gdal-bin")
    layers = [
        f"{name}({column})" if len(each.geometries) > 1 else name
        for name, each in facts.items()
        for column in each.geometries or [""]
    ]
    done = subprocess.run(
        ["ogrinfo", "-so", ogr_source(world.url), *layers], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    blocks = re.split(r"^Layer name: ", done.stdout, flags=re.M)[1:]
    return {block.split("\n", 1)[0]: block for block in blocks}


@pytest.fixture(scope="module")
def raster_tables(world: World) -> list[str]:
    rows = world.conn.execute(
        "select r_table_name::text from raster_columns where r_table_schema = 'lode_raster' order by 1"
    ).fetchall()
    names = [name for (name,) in rows if not name.startswith("o_") and name not in PARENT_KEYS]
    assert len(names) == 6  # three scenes and their runs
    return names


@pytest.fixture(scope="module")
def in_qgis(
    world: World,
    facts: dict[str, Facts],
    raster_tables: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    sources = {}
    for name, each in facts.items():
        schema, _, table = name.partition(".")
        for column in each.geometries or [""]:
            ground = f" ({column})" if column else ""
            sources[f"{name}.{column}"] = (
                f'{qgis_source(world.url)} key=\'{each.key}\' table="{schema}"."{table}"{ground}'
            )
    rasters = {
        name: f"PG: {qgis_source(world.url)} mode='2' schema='lode_raster' column='rast' table='{name}'"
        for name in raster_tables
    }
    found: dict[str, Any] = run_qgis(
        QGIS_SCRIPT, tmp_path_factory.mktemp("qgis"), sources=sources, rasters=rasters
    )
    return found


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_geometries_are_typed(facts: dict[str, Facts], relation: Relation) -> None:
    each = facts[str(relation)]
    assert set(each.geometries) == {name for name, kind in each.columns if kind == "geometry"}
    for kind, srid in each.geometries.values():
        assert kind in OGR_TYPES
        assert srid == (3857 if str(relation) == OF_TILES else 4326)


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_the_first_column_is_an_integer_key(
    world: World, facts: dict[str, Facts], relation: Relation
) -> None:
    name, kind = facts[str(relation)].columns[0]
    assert kind in ("integer", "bigint")
    row = world.conn.execute(
        f"select count(*), count({name}), count(distinct {name}) from {relation}"
    ).fetchone()
    assert row is not None
    assert len(set(row)) == 1
    if relation.schema == "lode_api":
        assert name == "ogc_fid"
        return
    primary = world.conn.execute(
        "select array_agg(a.attname::text) from pg_constraint k join pg_attribute a"
        " on a.attrelid = k.conrelid and a.attnum = any(k.conkey)"
        " where k.conrelid = %s::regclass and k.contype = 'p'",
        (str(relation),),
    ).fetchone()
    assert primary == ([name],)


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_everything_has_a_comment(world: World, relation: Relation) -> None:
    row = world.conn.execute("select obj_description(%s::regclass, 'pg_class')", (str(relation),)).fetchone()
    assert row is not None
    assert row[0]
    silent = world.conn.execute(
        "select attname from pg_attribute where attrelid = %(name)s::regclass and attnum > 0"
        " and not attisdropped and coalesce(col_description(%(name)s::regclass, attnum), '') = ''",
        {"name": str(relation)},
    ).fetchall()
    assert silent == []


@pytest.mark.parametrize(
    "relation", [each for each in RELATIONS if each.schema == "lode" and each.name in MAP_TABLES], ids=str
)
def test_tables_of_maps_have_a_spatial_index(
    world: World, facts: dict[str, Facts], relation: Relation
) -> None:
    indexed = world.conn.execute(
        "select a.attname::text from pg_index i join pg_class c on c.oid = i.indexrelid"
        " join pg_am m on m.oid = c.relam and m.amname = 'gist'"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]"
        " where i.indrelid = %s::regclass and i.indexprs is null and i.indpred is null",
        (str(relation),),
    ).fetchall()
    assert {name for (name,) in indexed} >= set(facts[str(relation)].geometries)


@pytest.mark.parametrize("relation", [each for each in RELATIONS if each.schema == "lode_api"], ids=str)
def test_a_box_on_a_view_reaches_an_indexed_column(
    world: World, facts: dict[str, Facts], relation: Relation
) -> None:
    geometries = facts[str(relation)].geometries
    if not geometries or str(relation) in COMPUTED:
        return
    (column,) = geometries
    plan = world.conn.execute(
        f"explain (format json) select * from {relation} where {column} && st_makeenvelope(0, 0, 1, 1, 4326)"
    ).fetchone()
    assert plan is not None
    indexed = world.conn.execute(
        "select c.relname::text, a.attname::text from pg_index i join pg_class c on c.oid = i.indrelid"
        " join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam and m.amname = 'gist'"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0] where i.indpred is null"
    ).fetchall()
    assert set(box_conditions(plan[0][0]["Plan"])) & set(indexed)


def box_conditions(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Table and bare column of each condition with a box that a plan has on a table."""
    for condition in ("Filter", "Index Cond", "Recheck Cond"):
        for column in re.findall(r"\((?:\w+\.)?(\w+) && '", node.get(condition, "")):
            if "Relation Name" in node:
                yield node["Relation Name"], column
    for inner in node.get("Plans", []):
        yield from box_conditions(inner)


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_ogr_knows_key_type_and_count(
    facts: dict[str, Facts], in_ogr: dict[str, str], relation: Relation
) -> None:
    each = facts[str(relation)]
    for column in each.geometries or [""]:
        name = f"{relation}({column})" if len(each.geometries) > 1 else str(relation)
        block = in_ogr[name]
        told = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        kind = OGR_TYPES[each.geometries[column][0]] if column else "None"
        assert told["Geometry"] == kind
        assert told["Feature Count"] == str(each.count)
        assert f"FID Column = {each.key}" in block
        if column:
            assert f'ID["EPSG",{each.geometries[column][1]}]]' in block


@pytest.mark.parametrize("relation", RELATIONS, ids=str)
def test_qgis_loads_it_with_all_features_where_they_lie(
    world: World, facts: dict[str, Facts], in_qgis: dict[str, Any], relation: Relation
) -> None:
    each = facts[str(relation)]
    for column in each.geometries or [""]:
        layer = in_qgis[f"{relation}.{column}"]
        assert layer["valid"]
        assert (layer["count"], layer["ids"], layer["keys"]) == (each.count, each.count, [each.key])
        if not column:
            assert layer["type"] == "NoGeometry"
            continue
        kind, srid = each.geometries[column]
        assert (layer["crs"], layer["type"].upper()) == (f"EPSG:{srid}", kind)
        extent = world.conn.execute(
            f"select st_xmin(e), st_ymin(e), st_xmax(e), st_ymax(e) from (select st_extent({column}) as e"
            f" from {relation}) as x where e is not null"
        ).fetchone()
        if extent is not None:
            assert layer["box"] == pytest.approx(extent, abs=1e-6)


def test_the_district_fills_what_people_look_at(facts: dict[str, Facts]) -> None:
    assert set(facts) >= ALWAYS_FILLED
    assert [name for name in sorted(ALWAYS_FILLED) if facts[name].count == 0] == []


def test_raster_tables_tell_clients_all_they_ask(world: World, raster_tables: list[str]) -> None:
    rows = world.conn.execute(
        "select r_table_name::text, srid, scale_x, scale_y, blocksize_x, same_alignment, num_bands,"
        " pixel_types, extent is not null, spatial_index from raster_columns"
        " where r_table_schema = 'lode_raster' and r_table_name = any(%s)",
        (raster_tables,),
    ).fetchall()
    for name, srid, scale_x, scale_y, block, aligned, bands, types, has_extent, is_indexed in rows:
        assert (srid, scale_x, scale_y, block, aligned, has_extent, is_indexed) == (
            32645, 2, -4, 64, True, True, True
        ), name  # fmt: skip
        assert (bands, set(types)) == ((8, {"8BUI"}) if name.startswith("probability") else (4, {"16BUI"}))
        keys = world.conn.execute(
            "select a.attname::text, k.contype::text from pg_constraint k join pg_attribute a"
            " on a.attrelid = k.conrelid and a.attnum = any(k.conkey)"
            " where k.conrelid = ('lode_raster.' || %s)::regclass and k.contype in ('p', 'u')",
            (name,),
        ).fetchall()
        assert keys == [("rid", "p")]


def test_gdal_and_qgis_open_the_raster_tables(
    world: World, raster_tables: list[str], in_qgis: dict[str, Any]
) -> None:
    need("gdalinfo", "gdal-bin")
    for name in raster_tables:
        bands = 8 if name.startswith("probability") else 4
        source = f"{ogr_source(world.url)} schema='lode_raster' table='{name}' mode=2"
        done = subprocess.run(["gdalinfo", "-checksum", source], check=True, capture_output=True, text=True)
        assert "ERROR" not in done.stderr
        assert "Size is 90, 70" in done.stdout
        assert 'ID["EPSG",32645]]' in done.stdout
        checksums = re.findall(r"Checksum=(\d+)", done.stdout)
        assert len(checksums) == bands
        assert "0" not in checksums
        assert in_qgis[name] == {"valid": True, "size": [90, 70], "bands": bands, "crs": "EPSG:32645"}
