"""Regions from a vector file into the database: counties, watersheds, protected ground."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.regions import (
    NewRegion,
    RegionLayer,
    check_layer_key,
    count_regions_of_source,
    upsert_layer,
    upsert_regions,
)
from db.sources import delete_source, find_source, insert_source, sources_of_name
from ingest.columns import Field, keep_only, match_columns, take_rows, texts
from ingest.geometry import storable_shapes
from ingest.ground import needed_texts, refuse_empty, refuse_repeated
from ingest.requests import FeatureOutcome, FeatureRequest, Report, begin, crs_notes, crs_of, source_name
from ingest.vectors import read_features

KIND = "regions"
REGION_FIELDS = (
    Field("code", is_required=True),
    Field("name", is_required=True),
    Field("name_zh"),
)


def ingest_regions(
    conn: Connection[Any],
    request: FeatureRequest,
    layer: RegionLayer,
    *,
    report: Report = lambda _line: None,
) -> FeatureOutcome:
    """Bring regions of a layer into the database, inside the caller's transaction; totals are derived again.

    Regions are known by layer and code: those that are there already are updated. With ``replace`` regions
    that came from a file of this name and are not in it any more are deleted.

    Args:
        conn: connection, not in autocommit mode.
        request: the file.
        layer: the layer they belong to.
        report: takes a line when there is something to wait for.

    Raises:
        UsageError: the layer, the file or a feature of it cannot be right; nothing is stored.

    """
    check_layer_key(layer.key)
    begin(conn, KIND, report)
    table = read_features(request.file, request.roots, layer=request.layer, encoding=request.encoding)
    name = source_name(request, table.name)
    digest = request.digest(
        layer_key=layer.key,
        layer_name=layer.name,
        layer_name_zh=layer.name_zh,
        is_protected=layer.is_protected,
    )
    same = find_source(conn, KIND, table.sha256, digest)
    if same is not None and count_regions_of_source(conn, same.feature_source_id) == same.feature_count:
        return FeatureOutcome(KIND, same.name, False, 0)
    older = sources_of_name(conn, KIND, name)
    table = take_rows(table, keep_only(table, request.only))
    refuse_empty(table)
    columns = match_columns(table, REGION_FIELDS, request.fields)
    crs = crs_of(table, request.srid)
    shapes = storable_shapes(table, crs, "polygons", repair=request.repair)
    codes = needed_texts(table, columns["code"], "code")
    refuse_repeated(table, codes, "region")
    regions = [
        NewRegion(*values)
        for values in zip(
            codes,
            needed_texts(table, columns["name"], "name"),
            texts(table, columns["name_zh"]),
            shapes.geometries,
            strict=True,
        )
    ]
    source_id = insert_source(
        conn,
        kind=KIND,
        name=name,
        sha256=table.sha256,
        options_digest=digest,
        feature_count=len(regions),
        repaired_count=len(shapes.repaired),
    )
    stale = [source.feature_source_id for source in older if source.feature_source_id != source_id]
    counts = upsert_regions(
        conn,
        upsert_layer(conn, layer),
        regions,
        source_id=source_id,
        has_name_zh=columns["name_zh"] is not None,
        replaces=stale if request.replace else (),
    )
    for old_id in stale:
        if count_regions_of_source(conn, old_id) == 0:
            delete_source(conn, old_id)
    return FeatureOutcome(
        KIND,
        name,
        True,
        counts.inserted,
        len(shapes.repaired),
        replaced=counts.deleted,
        notes=crs_notes(crs),
        updated=counts.updated,
        unchanged=counts.unchanged,
    )
