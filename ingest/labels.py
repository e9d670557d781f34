"""Labels into the database: polygons with a class, from a vector file or a class raster."""

from __future__ import annotations

from collections import Counter
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.labels import delete_labels_of_source, insert_labels
from db.sources import delete_source, find_source, insert_source
from ingest.drawn_labels import (
    LabelRequest,
    label_setting,
    labels_of_raster,
    labels_of_table,
    place_notes,
)
from ingest.requests import FeatureOutcome, FeatureRequest, Report, begin, replaced_sources, source_name
from ingest.vectors import FeatureTable, read_features

KIND = "labels"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def ingest_labels(
    conn: Connection[Any],
    request: FeatureRequest,
    about: LabelRequest,
    *,
    report: Report = lambda _line: None,
) -> FeatureOutcome:
    """Bring labels into the database, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left.

    Raises:
        UsageError: the file, a feature of it or what is said about it cannot be right.

    """
    begin(conn, KIND, report)
    setting = label_setting(conn, about)
    digest = request.digest(
        product=about.product,
        valid_on=about.valid_on,
        classes=None if setting.mapping is None else setting.mapping.as_json(),
        one_class=setting.one_class,
        interpreter=about.interpreter,
        **({"counted": True} if about.is_counted else {}),  # files read before there was a choice stay known
    )
    is_raster = request.file.head(4) in TIFF_STARTS
    if is_raster:
        sha256, name = request.file.sha256(), source_name(request, request.file.name)
        table: FeatureTable | None = None
    else:
        table = read_features(request.file, request.roots, layer=request.layer, encoding=request.encoding)
        sha256, name = table.sha256, source_name(request, table.name)
    same = find_source(conn, KIND, sha256, digest)
    if same is not None:
        return FeatureOutcome(KIND, same.name, False, 0)
    older = replaced_sources(conn, KIND, name, replace=request.replace)
    if table is None:
        drawn = labels_of_raster(request, about, setting)
    else:
        drawn = labels_of_table(conn, table, request, about, setting)
    if not drawn.labels:
        raise UsageError(f"{request.file.name}: holds no labels; {drawn.ignored} features are ignored")
    notes = drawn.notes + place_notes(conn, drawn.labels, request.file.name)
    replaced = 0
    for source in older:
        replaced += delete_labels_of_source(conn, source.feature_source_id)
        delete_source(conn, source.feature_source_id)
    source_id = insert_source(
        conn,
        kind=KIND,
        name=name,
        sha256=sha256,
        options_digest=digest,
        feature_count=len(drawn.labels),
        repaired_count=drawn.repaired,
    )
    stored = insert_labels(conn, drawn.labels, source_id=source_id)
    counts = Counter(label.land_class_code for label in drawn.labels)
    keys = {each.code: each.key for each in setting.classes}
    notes += (", ".join(f"{keys[code]} {count}" for code, count in sorted(counts.items())),)
    return FeatureOutcome(KIND, name, True, stored, drawn.repaired, drawn.ignored, replaced, notes)
