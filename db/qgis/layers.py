"""The layers QGIS is given: every published relation, and how it is drawn in the colours of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import Connection

from db.qgis.names import (
    ALERT_KINDS,
    CHANGES,
    KINDS,
    LEVELS,
    STATES,
    Name,
    column_name,
    in_language,
)
from db.qgis.prospects import prospect_look
from db.qgis.qml import Category, Look

MAP_TABLES = (
    "mine",
    "label",
    "fault",
    "pluton",
    "lithology",
    "deposit",
    "region",
    "alert",
    "mine_damage",
    "damage_patch",
    "damage_change",
)
"""Tables of schema lode that people open as maps; what exists of them is used."""

FORM_TABLES = ("alert_rule", "report_period", "sample_answer")
"""Tables without a geometry that people fill in."""

EDITED = {
    "alert": ("state", "note"),
    "damage_alert": ("state", "note"),
    "alert_rule": None,
    "deposit": None,
    "fault": None,
    "label": None,
    "lithology": None,
    "mine": None,
    "pluton": None,
    "region": None,
    "report_period": None,
    "sample_answer": None,
    "sample_task": ("land_class", "answered_on", "note"),
}
"""Columns that people fill, by relation; None: all but the key. Everything else is derived."""

_CLASS_OF_KIND = {
    "excavated": "open_pit",
    "occupied": "dump",
    "subsided": "subsidence",
    "treated": "treated_open_pit",
}
_CHANGE_COLOURS = {"new": "#e31a1c", "persisting": "#8c8c8c", "treated": "#33a02c"}
_LEVEL_COLOURS = {"severe": "#b10026", "warning": "#fd8d3c", "notice": "#fed976"}
_PLAIN = {
    "mine": Look("outline", "#1a1a1a", label_field="name"),
    "mine.licence_boundary": Look("outline", "#1f4e9e"),
    "fault": Look("line", "#b2182b", label_field="name"),
    # Lies over the probability of ore, which must be seen through it.
    "pluton": Look("fill", "#f4a6a0", opacity=0.4, label_field="name"),
    "deposit": Look("marker", "#e0a800", label_field="name"),
    "deposit.body": Look("outline", "#e0a800"),
    "region": Look("outline", "#6a3d9a", label_field="name"),
    "sample_task": Look("marker", "#ff00ff", label_field="number"),
    "scene_catalogue": Look("outline", "#2c7fb8", label_field="product"),
    "evidence_catalogue": Look("outline", "#6b6ecf", label_field="name"),
}
_SHAPES = {
    "MULTIPOLYGON": "fill",
    "POLYGON": "fill",
    "MULTILINESTRING": "line",
    "LINESTRING": "line",
    "POINT": "marker",
    "MULTIPOINT": "marker",
}


@dataclass(frozen=True)
class Layer:
    """A published relation with one of its geometries (column empty: none) and the key QGIS takes.

    Attributes:
        schema: schema.
        table: table or view.
        column: geometry column; empty for a table without one.
        geometry_type: as in geometry_columns, e.g. MULTIPOLYGON; empty for a table without one.
        key: first column, an integer that identifies a row.
        comment: what it is.
        columns: name and comment of each column that is no geometry, in order.

    """

    schema: str
    table: str
    column: str
    geometry_type: str
    key: str
    comment: str
    columns: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True)
class LandClass:
    """A class as legends need it."""

    code: int
    key: str
    name: Name
    colour: str


def published_layers(conn: Connection[Any]) -> list[Layer]:
    """Every view of lode_api and the tables of lode that are maps or forms, once for each geometry."""
    rows = conn.execute(
        "select n.nspname, c.relname, coalesce(g.f_geometry_column, ''), coalesce(g.type, ''),"
        "  coalesce(obj_description(c.oid, 'pg_class'), ''),"
        "  (select array_agg(a.attname::text order by a.attnum) from pg_attribute a where a.attrelid = c.oid"
        "    and a.attnum > 0 and not a.attisdropped and a.atttypid <> 'geometry'::regtype),"
        "  (select array_agg(col_description(c.oid, a.attnum) order by a.attnum) from pg_attribute a"
        "    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        "    and a.atttypid <> 'geometry'::regtype)"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " left join geometry_columns g on g.f_table_schema = n.nspname and g.f_table_name = c.relname"
        " where (n.nspname = 'lode_api' and c.relkind = 'v'"
        "   and exists (select from lode.api_object o where o.kind = 'view' and o.name = c.relname))"
        "  or (n.nspname = 'lode' and c.relkind = 'r' and c.relname = any(%s))"
        " order by n.nspname desc, c.relname, g.f_geometry_column",
        ([*MAP_TABLES, *FORM_TABLES],),
    ).fetchall()
    return [
        Layer(schema, table, column, kind, names[0], comment, tuple(zip(names, comments, strict=True)))
        for schema, table, column, kind, comment, names, comments in rows
    ]


def land_classes(conn: Connection[Any]) -> list[LandClass]:
    """All classes, by code."""
    rows = conn.execute(
        "select land_class_code, key, name, name_zh, colour from lode.land_class order by land_class_code"
    )
    return [LandClass(code, key, (name, name_zh), colour) for code, key, name, name_zh, colour in rows]


def layer_look(
    layer: Layer, classes: Sequence[LandClass], *, chinese_only: bool, score: str | None = None
) -> Look:
    """What a layer looks like, in English and Chinese or in Chinese only.

    Args:
        layer: the layer.
        classes: of land.
        chinese_only: Chinese only.
        score: which of several scores it shows, see `prospect_look`.

    """
    names = [name for name, _comment in layer.columns]
    look = _theme(layer, names, classes, chinese_only=chinese_only, score=score)
    edited = EDITED.get(layer.table, ())
    return replace(
        look,
        temporal=_temporal(names),
        display_field=next(
            (name for name in ("name", "mine_name", "code", "product") if name in names), None
        ),
        aliases={
            name: in_language(column_name(name, comment), chinese_only=chinese_only)
            for name, comment in layer.columns
        },
        choices=_choices(layer, names, classes, chinese_only=chinese_only),
        read_only=[
            name for name in names if name == layer.key or (edited is not None and name not in edited)
        ],
    )


def _theme(
    layer: Layer,
    names: list[str],
    classes: Sequence[LandClass],
    *,
    chinese_only: bool,
    score: str | None,
) -> Look:
    if not layer.column:
        return Look("table")
    searched = prospect_look(layer.table, chinese_only=chinese_only, score=score)
    if searched is not None:
        return searched
    plain = _PLAIN.get(f"{layer.table}.{layer.column}") or _PLAIN.get(layer.table)
    if plain is not None:
        return plain
    shape = _SHAPES[layer.geometry_type]
    if "change" in names:
        return _categorised(shape, "change", CHANGES, _CHANGE_COLOURS, chinese_only=chinese_only)
    if "level" in names:
        return _categorised(shape, "level", LEVELS, _LEVEL_COLOURS, chinese_only=chinese_only)
    for attribute in ("land_class", "land_class_code"):
        if attribute in names:
            legend = [
                Category(
                    each.key if attribute == "land_class" else each.code,
                    in_language(each.name, chinese_only=chinese_only),
                    each.colour,
                )
                for each in classes
            ]
            # Opaque: where scenes overlap two classes would mix to a colour that is no class's.
            return Look(shape, attribute=attribute, categories=legend)
    for attribute in ("damage_kind", "kind"):
        if attribute in names:
            by_key = {each.key: each.colour for each in classes}
            colours = {kind: by_key[key] for kind, key in _CLASS_OF_KIND.items() if key in by_key}
            return _categorised(shape, attribute, KINDS, colours, chinese_only=chinese_only)
    return Look(shape, opacity=0.5)


def _categorised(
    shape: str, attribute: str, names: Any, colours: dict[str, str], *, chinese_only: bool
) -> Look:
    legend = [
        Category(value, in_language(names[value], chinese_only=chinese_only), colour)
        for value, colour in colours.items()
    ]
    return Look(shape, attribute=attribute, categories=legend, opacity=0.85)


def _temporal(names: list[str]) -> tuple[str, ...]:
    if "start_date" in names and "end_date" in names:
        return ("start_date", "end_date")
    return next(((name,) for name in ("valid_on", "acquired_on") if name in names), ())


def _choices(
    layer: Layer, names: list[str], classes: Sequence[LandClass], *, chinese_only: bool
) -> dict[str, dict[str, str]]:
    listed: dict[str, dict[str, Name]] = {
        "land_class_code": {str(each.code): each.name for each in classes},
        "state": dict(STATES),
        "level": dict(LEVELS),
        "change": dict(CHANGES),
        "damage_kind": dict(KINDS),
    }
    if "alert" in layer.table:
        listed["kind"] = dict(ALERT_KINDS)
    return {
        column: {value: in_language(name, chinese_only=chinese_only) for value, name in values.items()}
        for column, values in listed.items()
        if column in names
    }
