"""A ready QGIS project with the layers of a database in groups, written without QGIS."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree import ElementTree

from psycopg import Connection
from psycopg.types.json import Jsonb
from pyproj import CRS

from db.errors import UsageError
from db.qgis.layers import LandClass, Layer, land_classes, layer_look, published_layers
from db.qgis.names import Name, in_language, relation_name
from db.qgis.project_files import MARK
from db.qgis.prospects import SCORE_NAMES, prospect_scores, score_ranges
from db.qgis.qml import VERSION, Look, style_element, to_text
from db.qgis.rasters import search_rasters, shaded_band

GROUPS: dict[str, Name] = {
    "alerts": ("Alerts", "预警"),
    "reports": ("Reports", "报表"),
    "damage": ("Damage", "损毁"),
    "geology": ("Geology", "地质"),
    "prospects": ("Where ore may lie", "找矿预测"),
    "truth": ("Ground truth", "地面真值"),
    "landcover": ("Land cover by year", "逐年土地覆盖"),
    "scenes": ("Scenes", "影像"),
}
"""Groups in the order they are listed and drawn, the topmost first."""

_GROUP_OF = {
    "alert": "alerts",
    "alert_rule": "alerts",
    "damage_alert": "alerts",
    "mine": "damage",
    "region": "damage",
    "mine_damage": "damage",
    "damage_patch": "damage",
    "damage_change": "damage",
    "fault": "geology",
    "pluton": "geology",
    "lithology": "geology",
    "deposit": "geology",
    "prospect_target": "prospects",
    "prospect_sample": "prospects",
    "prospect_map": "prospects",
    "evidence_catalogue": "prospects",
    "prospect_history": "prospects",
    "prospectivity_map": "prospects",
    "prospect_reason": "prospects",
    "prospect_evaluation": "prospects",
    "label": "truth",
    "sample_task": "truth",
    "sample_answer": "truth",
    "sample_reference": "truth",
    "landcover_map": "landcover",
    "scene_catalogue": "scenes",
    "run_history": "scenes",
}
_UPPERMOST = ("prospect_target", "prospect_sample", "prospect_map", "prospectivity_map")
"""Layers that come first in their group, in this order; the others follow as the database lists them."""
_AS_TABLES = ("prospect_reason",)
"""Views with a geometry that is of another layer, several rows to a feature: they are listed, not drawn."""
_SHOWN = {"mine", "mine_damage", "damage_alert", "landcover_map", "scene_catalogue"}
_GEOMETRIES = {
    "MULTIPOLYGON": ("MultiPolygon", "Polygon"),
    "POLYGON": ("Polygon", "Polygon"),
    "MULTILINESTRING": ("MultiLineString", "Line"),
    "LINESTRING": ("LineString", "Line"),
    "POINT": ("Point", "Point"),
    "MULTIPOINT": ("MultiPoint", "Point"),
    "": ("", "No geometry"),
}
SEARCH_COUNT = 3
"""Searches without deposits that are there as pixels, the newest first."""
_WRITTEN_BY = "Lode"
_WEB_MERCATOR = 3857

# QGIS's own layout of the table, as it makes it when a project is saved for the first time.
_TABLE = (
    "create table if not exists public.qgis_projects (name text primary key, metadata jsonb, content bytea)"
)

# Web Mercator ends before the poles.
_EXTENT = """
select st_xmin(b.box), st_ymin(b.box), st_xmax(b.box), st_ymax(b.box)
from (
  select st_transform(st_setsrid(st_extent(g.geom), 4326), 3857) as box
  from (
    select boundary as geom from lode.mine
    union all
    select footprint from lode.scene
  ) as g
  where g.geom @ st_makeenvelope(-180, -85, 180, 85, 4326)
) as b
where b.box is not null
"""


@dataclass(frozen=True)
class _Entry:
    """A layer of the project; ``geometry`` in QGIS's words, ``style`` the children of a QML document."""

    identity: str
    group: str
    name: str
    provider: str
    source: str
    geometry: str
    is_shown: bool
    srid: int
    style: Sequence[ElementTree.Element] = ()


@dataclass(frozen=True)
class _Part:
    """One layer of a relation that may be several: the end of its identity, its title, look and filter."""

    suffix: str
    title: str
    look: Look
    rows: str = ""


def project_file(conn: Connection[Any], *, title: str, scene_count: int) -> bytes:
    """The project as a .qgz file.

    Args:
        conn: connection to the layers' database; its address goes into the project, no password.
        title: title of the project.
        scene_count: how many scenes are there as pixels, newest first.

    """
    entries = [
        *(*_vector_entries(conn), *_search_entries(conn, SEARCH_COUNT)),
        *_scene_entries(conn, scene_count),
    ]
    text = to_text(_project(entries, title, _extent(conn)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        # A fixed time: the same database gives the same file.
        archive.writestr(zipfile.ZipInfo(f"{title}.qgs", (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)
        archive.comment = MARK
    return buffer.getvalue()


def store_project(conn: Connection[Any], name: str, content: bytes) -> None:
    """Keep a project in QGIS's table public.qgis_projects, in the caller's transaction.

    Raises:
        UsageError: somebody saved a project of his own under that name.

    """
    row = conn.execute("select to_regclass('public.qgis_projects') is not null").fetchone()
    if row is None or not row[0]:
        conn.execute(_TABLE)
        conn.execute("comment on table public.qgis_projects is 'Projects, kept by QGIS'")
    stored = conn.execute(
        "insert into public.qgis_projects as p (name, metadata, content) values (%(name)s, %(metadata)s,"
        " %(content)s) on conflict (name) do update set metadata = excluded.metadata,"
        " content = excluded.content where p.metadata ->> 'written_by' = %(by)s",
        {
            "name": name,
            "metadata": Jsonb({"written_by": _WRITTEN_BY}),
            "content": content,
            "by": _WRITTEN_BY,
        },
    ).rowcount
    if not stored:
        raise UsageError(
            f"the database holds a project {name} that was saved in QGIS, which stays as it is; "
            "store this one under another name (--name)"
        )


def connection_text(conn: Connection[Any]) -> str:
    """Address of the database as QGIS writes it, without a password."""
    info = conn.info
    parts = {"dbname": info.dbname, "host": info.host, "port": str(info.port), "user": info.user}
    return " ".join(f"{key}={_quoted(value)}" for key, value in parts.items() if value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _vector_entries(conn: Connection[Any]) -> Iterator[_Entry]:
    classes = land_classes(conn)
    for layer in _listed(published_layers(conn)):
        look = layer_look(layer, classes, chinese_only=False)
        name = in_language(relation_name(layer.table), chinese_only=False)
        if layer.table == "mine" and layer.column == "licence_boundary":
            name = in_language(("Licences", "采矿许可范围"), chinese_only=False)
        parts = [_Part("", name, look)]
        if layer.table == "landcover_map":
            parts = [_Part(suffix, title, look, rows) for suffix, title, rows in _years(conn, name)]
        if scores := prospect_scores(layer.table):
            parts = [_score_part(layer, classes, score) for score in scores]
        for place, part in enumerate(parts):
            yield _Entry(
                f"{layer.schema}_{layer.table}_{layer.column}{part.suffix}".rstrip("_"),
                _GROUP_OF.get(layer.table, "reports"),
                part.title,
                "postgres",
                _source(conn, layer, part.rows),
                _GEOMETRIES[layer.geometry_type][1],
                layer.table in _SHOWN and layer.column != "licence_boundary" and place == 0,
                4326,
                list(style_element(part.look)),
            )


def _score_part(layer: Layer, classes: Sequence[LandClass], score: str) -> _Part:
    title = in_language(SCORE_NAMES[score], chinese_only=False)
    return _Part(f"_{score}", title, layer_look(layer, classes, chinese_only=False, score=score))


def _listed(layers: Sequence[Layer]) -> list[Layer]:
    """Layers in the order of the project, without the geometry where they are listed only."""
    return sorted(
        (
            replace(layer, column="", geometry_type="") if layer.table in _AS_TABLES else layer
            for layer in layers
        ),
        key=_place,
    )


def _place(layer: Layer) -> int:
    return _UPPERMOST.index(layer.table) if layer.table in _UPPERMOST else len(_UPPERMOST)


def _years(conn: Connection[Any], name: str) -> list[tuple[str, str, str]]:
    rows = conn.execute("select distinct year from lode.observation order by year desc").fetchall()
    return [(f"_{year}", f"{name} {year}", f'"year" = {year}') for (year,) in rows] or [("", name, "")]


def _source(conn: Connection[Any], layer: Layer, rows: str) -> str:
    kind = _GEOMETRIES[layer.geometry_type][0]
    geometry = f" srid=4326 type={kind}" if kind else ""
    column = f" ({layer.column})" if layer.column else ""
    return (
        f"{connection_text(conn)} key='{layer.key}'{geometry} checkPrimaryKeyUnicity='0'"
        f' table="{layer.schema}"."{layer.table}"{column}' + (f" sql={rows}" if rows else "")
    )


def _scene_entries(conn: Connection[Any], count: int) -> Iterator[_Entry]:
    rows = conn.execute(
        "select product, acquired_on, srid, tile_table from lode.scene"
        " where superseded_by is null and to_regclass(format('lode_raster.%%I', tile_table)) is not null"
        " order by acquired_on desc, scene_id desc limit %s",
        (count,),
    ).fetchall()
    for product, acquired_on, srid, table in rows:
        title = f"{product} {acquired_on:%Y-%m-%d}"
        yield _raster_entry(conn, table, f"lode_raster_{table}", "scenes", title, srid)


def _search_entries(conn: Connection[Any], count: int) -> Iterator[_Entry]:
    """Each score of the last searches that were made without deposits, out of their rasters."""
    for raster in search_rasters(conn, count):
        table = raster.tile_table
        for score, name in SCORE_NAMES.items():
            if score in raster.band_names:
                title = f"{raster.ground} {raster.prospect_run_id}: {in_language(name, chinese_only=False)}"
                style = shaded_band(raster.band_names.index(score) + 1, score_ranges(score))
                identity = f"lode_raster_{table}_{score}"
                yield _raster_entry(conn, table, identity, "prospects", title, raster.srid, style)


def _raster_entry(
    conn: Connection[Any],
    table: str,
    identity: str,
    group: str,
    title: str,
    srid: int,
    style: Sequence[ElementTree.Element] = (),
) -> _Entry:
    source = f"PG: {connection_text(conn)} mode='2' schema='lode_raster' column='rast' table='{table}'"
    return _Entry(identity, group, title, "postgresraster", source, "", False, srid, style)


def _extent(conn: Connection[Any]) -> tuple[float, float, float, float] | None:
    row = conn.execute(_EXTENT).fetchone()
    return None if row is None else (row[0], row[1], row[2], row[3])


def _project(
    entries: Sequence[_Entry], title: str, extent: tuple[float, float, float, float] | None
) -> ElementTree.Element:
    root = ElementTree.Element("qgis", version=VERSION, projectname=title)
    ElementTree.SubElement(root, "title").text = title
    _crs(ElementTree.SubElement(root, "projectCrs"), _WEB_MERCATOR)
    tree = ElementTree.SubElement(root, "layer-tree-group")
    layers = ElementTree.SubElement(root, "projectlayers")
    for key, name in GROUPS.items():
        group = ElementTree.SubElement(
            tree,
            "layer-tree-group",
            name=in_language(name, chinese_only=False),
            expanded="1" if key in ("alerts", "damage", "landcover") else "0",
            checked="Qt::Checked",
        )
        for entry in entries:
            if entry.group == key:
                ElementTree.SubElement(
                    group,
                    "layer-tree-layer",
                    id=entry.identity,
                    name=entry.name,
                    source=entry.source,
                    providerKey=entry.provider,
                    expanded="0",
                    checked="Qt::Checked" if entry.is_shown else "Qt::Unchecked",
                )
                layers.append(_map_layer(entry))
    reference = ElementTree.SubElement(ElementTree.SubElement(root, "properties"), "SpatialRefSys")
    ElementTree.SubElement(reference, "ProjectionsEnabled", type="int").text = "1"
    if extent is not None:
        _view(
            root, dict(zip(("xmin", "ymin", "xmax", "ymax"), (f"{each:.1f}" for each in extent), strict=True))
        )
    return root


def _view(root: ElementTree.Element, extent: dict[str, str]) -> None:
    canvas = ElementTree.SubElement(root, "mapcanvas", name="theMapCanvas")
    ElementTree.SubElement(canvas, "units").text = "meters"
    box = ElementTree.SubElement(canvas, "extent")
    for key, value in extent.items():
        ElementTree.SubElement(box, key).text = value
    _crs(ElementTree.SubElement(canvas, "destinationsrs"), _WEB_MERCATOR)
    settings = ElementTree.SubElement(root, "ProjectViewSettings", UseProjectScales="0")
    _crs(ElementTree.SubElement(settings, "DefaultViewExtent", extent), _WEB_MERCATOR)


def _map_layer(entry: _Entry) -> ElementTree.Element:
    kind = "raster" if entry.provider == "postgresraster" else "vector"
    layer = ElementTree.Element("maplayer", type=kind)
    if entry.geometry:
        layer.set("geometry", entry.geometry)
    ElementTree.SubElement(layer, "id").text = entry.identity
    ElementTree.SubElement(layer, "datasource").text = entry.source
    ElementTree.SubElement(layer, "layername").text = entry.name
    if entry.geometry != "No geometry":
        _crs(ElementTree.SubElement(layer, "srs"), entry.srid)
    ElementTree.SubElement(layer, "provider", encoding="UTF-8").text = entry.provider
    layer.extend(entry.style)
    return layer


def _crs(parent: ElementTree.Element, srid: int) -> None:
    system = ElementTree.SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    # QGIS takes the name alone for a system it does not know, and draws nothing.
    ElementTree.SubElement(system, "wkt").text = CRS.from_epsg(srid).to_wkt()
    ElementTree.SubElement(system, "authid").text = f"EPSG:{srid}"
