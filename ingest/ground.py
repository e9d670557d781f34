"""Mines, mapped geology and deposits from vector files into the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import shapely
from psycopg import Connection

from db.deposits import insert_deposits
from db.errors import UsageError
from db.geology import TABLES, delete_features_of_source, insert_features
from db.mines import NewMine, count_mines_of_source, upsert_mines
from db.sources import delete_source, find_source, insert_source, sources_of_name
from ingest.columns import Field, keep_only, match_columns, take_rows, texts
from ingest.geometry import storable_shapes
from ingest.requests import (
    FeatureOutcome,
    FeatureRequest,
    Report,
    begin,
    crs_notes,
    crs_of,
    replaced_sources,
    source_name,
)
from ingest.vectors import FeatureTable, read_features

ALIASES = {
    "fault_type": ("type", "kind"),
    "lithology": ("rock", "rock_type"),
    "rock": ("lithology", "rock_type", "lith"),
    "commodity": ("mineral",),
    "deposit_type": ("type", "kind"),
}
REQUIRED = {"lithology": "rock"}
"""What must have a column: rocks that nobody tells apart say nothing."""
SHAPES = {"faults": "lines", "plutons": "polygons", "lithology": "polygons", "deposits": "points"}
"""Shapes of each kind; deposits may be polygons instead, which are their outlines."""
MINE_FIELDS = (
    Field("code", is_required=True),
    Field("name", is_required=True),
    Field("mineral"),
    Field("mining_method", ("method",)),
)
SHOWN_DUPLICATES = 5


def ingest_geology(
    conn: Connection[Any], kind: str, request: FeatureRequest, *, report: Report = lambda _line: None
) -> FeatureOutcome:
    """Bring faults, plutons, lithology or deposits into the database, inside the caller's transaction.

    Raises:
        UsageError: the file or a feature of it cannot be right; nothing is stored.

    """
    begin(conn, kind, report)
    table = read_features(request.file, request.roots, layer=request.layer, encoding=request.encoding)
    name, digest = source_name(request, table.name), request.digest()
    same = find_source(conn, kind, table.sha256, digest)
    if same is not None:
        return FeatureOutcome(kind, same.name, False, 0)
    older = replaced_sources(conn, kind, name, replace=request.replace)
    table = take_rows(table, keep_only(table, request.only))
    refuse_empty(table)
    fields = TABLES[kind][1]
    ours = [Field(field, ALIASES.get(field, ()), field == REQUIRED.get(kind)) for field in fields]
    columns = match_columns(table, ours, request.fields)
    _refuse_unnamed(table, kind, columns)
    crs = crs_of(table, request.srid)
    shapes = storable_shapes(table, crs, _shapes_of(kind, table), repair=request.repair)
    replaced = 0
    for source in older:
        replaced += delete_features_of_source(conn, kind, source.feature_source_id)
        delete_source(conn, source.feature_source_id)
    source_id = insert_source(
        conn,
        kind=kind,
        name=name,
        sha256=table.sha256,
        options_digest=digest,
        feature_count=len(table.ids),
        repaired_count=len(shapes.repaired),
    )
    held = zip(*(texts(table, columns[field]) for field in fields), strict=True)
    features = zip(shapes.geometries, held, strict=True)
    if kind == "deposits":
        stored = insert_deposits(conn, features, source_id=source_id)
    else:
        stored = insert_features(conn, kind, features, source_id=source_id)
    return FeatureOutcome(
        kind, name, True, stored, len(shapes.repaired), replaced=replaced, notes=crs_notes(crs)
    )


def _refuse_unnamed(table: FeatureTable, kind: str, columns: Mapping[str, str | None]) -> None:
    """Refuse features of which none has what its kind requires.

    Raises:
        UsageError: there is no column of it, or none of its rows is filled.

    """
    field = REQUIRED.get(kind)
    if field is not None and not any(texts(table, columns[field])):
        raise UsageError(
            f"{table.name}: no feature has a {field} in column {columns[field]!r}; name another column with "
            f"--field {field}=COLUMN; its columns are: {', '.join(table.columns)}"
        )


def _shapes_of(kind: str, table: FeatureTable) -> str:
    """What shapes the features of a table must have.

    Raises:
        UsageError: deposits are partly points, partly outlines.

    """
    if kind != "deposits":
        return SHAPES[kind]
    shapes = [shape for shape in table.geometries.tolist() if shape is not None]
    outlines = sum(shape.geom_type in ("Polygon", "MultiPolygon") for shape in shapes)
    points = sum(shape.geom_type in ("Point", "MultiPoint") for shape in shapes)
    if outlines and points:
        raise UsageError(
            f"{table.name}: holds {points} deposits as points and {outlines} as outlines; bring them as two "
            "files"
        )
    return "polygons" if outlines else "points"


def ingest_mines(
    conn: Connection[Any],
    request: FeatureRequest,
    *,
    licences: FeatureRequest | None = None,
    report: Report = lambda _line: None,
) -> FeatureOutcome:
    """Bring mines into the database, inside the caller's transaction; areas are derived again.

    Mines are known by their code: those that are there already are updated. With ``replace`` mines that
    came from a file of this name and are not in it any more are deleted.

    Args:
        conn: connection, not in autocommit mode.
        request: the file of boundaries.
        licences: a second file with a code and a licence boundary for some of the mines.
        report: takes a line when there is something to wait for.

    Raises:
        UsageError: a file or a feature cannot be right; nothing is stored.

    """
    kind = "mines"
    begin(conn, kind, report)
    table = read_features(request.file, request.roots, layer=request.layer, encoding=request.encoding)
    licence_table = None
    if licences is not None:
        licence_table = read_features(
            licences.file, licences.roots, layer=licences.layer, encoding=licences.encoding
        )
    name = source_name(request, table.name)
    digest = request.digest(
        licences=None if licence_table is None else licence_table.sha256,
        licence_layer=None if licences is None else licences.layer,
    )
    same = find_source(conn, kind, table.sha256, digest)
    if same is not None and count_mines_of_source(conn, same.feature_source_id) == same.feature_count:
        return FeatureOutcome(kind, same.name, False, 0)
    older = sources_of_name(conn, kind, name)
    table = take_rows(table, keep_only(table, request.only))
    refuse_empty(table)
    columns = match_columns(table, MINE_FIELDS, request.fields)
    crs = crs_of(table, request.srid)
    shapes = storable_shapes(table, crs, "polygons", repair=request.repair)
    codes = needed_texts(table, columns["code"], "code")
    refuse_repeated(table, codes, "mine")
    boundaries: dict[str, shapely.MultiPolygon] = {}
    repaired = len(shapes.repaired)
    if licence_table is not None and licences is not None:
        boundaries, more = _licence_boundaries(licence_table, licences, codes)
        repaired += more
    rows = zip(
        codes,
        needed_texts(table, columns["name"], "name"),
        texts(table, columns["mineral"]),
        texts(table, columns["mining_method"]),
        shapes.geometries,
        strict=True,
    )
    mines = [
        NewMine(code, mine_name, mineral, method, boundary, boundaries.get(code))
        for code, mine_name, mineral, method, boundary in rows
    ]
    source_id = insert_source(
        conn,
        kind=kind,
        name=name,
        sha256=table.sha256,
        options_digest=digest,
        feature_count=len(mines),
        repaired_count=repaired,
    )
    stale = [source.feature_source_id for source in older if source.feature_source_id != source_id]
    counts = upsert_mines(
        conn,
        mines,
        source_id=source_id,
        has_mineral=columns["mineral"] is not None,
        has_method=columns["mining_method"] is not None,
        replaces=stale if request.replace else (),
    )
    for old_id in stale:
        if count_mines_of_source(conn, old_id) == 0:
            delete_source(conn, old_id)
    return FeatureOutcome(
        kind,
        name,
        True,
        counts.inserted,
        repaired,
        replaced=counts.deleted,
        notes=crs_notes(crs) + _reviews_lost(counts.reviewed_alerts),
        updated=counts.updated,
        unchanged=counts.unchanged,
    )


def _reviews_lost(alerts: int) -> tuple[str, ...]:
    if alerts == 0:
        return ()
    return (
        f"{alerts} reviewed alerts went with mines that the file no longer has (lode.alert_review keeps what"
        " was said of them); where a code only changed, edit the mine's code in the database instead",
    )


def refuse_empty(table: FeatureTable) -> None:
    """Refuse a table without features.

    Raises:
        UsageError: it has none.

    """
    if not len(table.ids):
        raise UsageError(f"{table.name}: holds no features")


def needed_texts(table: FeatureTable, column: str | None, field: str) -> list[str]:
    """A column as texts, which must be filled in every row.

    Raises:
        UsageError: a row has none.

    """
    found = []
    for row, text in enumerate(texts(table, column)):
        if text is None:
            raise UsageError(f"{table.name}: {table.row_name(row)}: the {field} is empty")
        found.append(text)
    return found


def refuse_repeated(table: FeatureTable, codes: Sequence[str], what: str) -> None:
    """Refuse codes that stand for more than one feature.

    Raises:
        UsageError: there are such codes; the message names their rows.

    """
    rows: dict[str, list[int]] = {}
    for row, code in enumerate(codes):
        rows.setdefault(code, []).append(row)
    repeated = {code: places for code, places in rows.items() if len(places) > 1}
    if repeated:
        shown = "; ".join(
            f"{code!r} in {' and '.join(table.row_name(row) for row in places[:3])}"
            for code, places in list(repeated.items())[:SHOWN_DUPLICATES]
        )
        raise UsageError(
            f"{table.name}: {len(repeated)} codes stand for more than one {what}: {shown}. Join their parts "
            "into one feature, or give each its own code"
        )


def _licence_boundaries(
    table: FeatureTable, request: FeatureRequest, known: Sequence[str]
) -> tuple[dict[str, shapely.MultiPolygon], int]:
    """Licence boundary by code, and how many were repaired."""
    columns = match_columns(table, (MINE_FIELDS[0],), {})
    codes = needed_texts(table, columns["code"], "code")
    refuse_repeated(table, codes, "mine")
    strangers = sorted(set(codes) - set(known))
    if strangers:
        raise UsageError(
            f"{table.name}: {len(strangers)} licence boundaries belong to no mine of the file: "
            + ", ".join(strangers[:SHOWN_DUPLICATES])
        )
    shapes = storable_shapes(table, crs_of(table, None), "polygons", repair=request.repair)
    return dict(zip(codes, shapes.geometries, strict=True)), len(shapes.repaired)
