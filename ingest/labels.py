"""Labels into the database: polygons with a class, from a vector file or a class raster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import shapely
from psycopg import Connection

from db.classes import LandClass, list_classes
from db.errors import UsageError
from db.labels import NewLabel, delete_labels_of_source, insert_labels
from db.scenes import Scene, scene_by_product
from db.sources import delete_source, find_source, insert_source
from ingest.class_mapping import ClassMapping, class_codes, read_class_mapping
from ingest.class_raster import ClassPatches, class_patches
from ingest.columns import Field, days, keep_only, match_columns, take_rows, texts
from ingest.files import SourceFile
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

KIND = "labels"
CLASS = Field("class", ("land_class", "land_class_code"))
VALID_ON = Field("valid_on", ("date", "year"))
INTERPRETER = Field("interpreter")


@dataclass(frozen=True)
class LabelRequest:
    """What is said about labels besides how the file is read.

    Attributes:
        product: scene they were drawn on.
        valid_on: day they describe; without it and without a product a column says it.
        classes_file: the user's table of classes.
        class_name: one class for all features.
        interpreter: who drew them, where no column says it.

    """

    product: str | None = None
    valid_on: date | None = None
    classes_file: SourceFile | None = None
    class_name: str | None = None
    interpreter: str | None = None


@dataclass(frozen=True)
class _Drawn:
    """Labels of a file before they are stored."""

    labels: list[NewLabel]
    repaired: int
    ignored: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Setting:
    """What labels of a request refer to."""

    scene: Scene | None
    classes: list[LandClass]
    mapping: ClassMapping | None
    one_class: int | None


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
    setting = _setting(conn, about)
    digest = request.digest(
        product=about.product,
        valid_on=about.valid_on,
        classes=None if setting.mapping is None else setting.mapping.as_json(),
        one_class=setting.one_class,
        interpreter=about.interpreter,
    )
    is_raster = request.file.head(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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
    drawn = (
        _from_raster(request, about, setting)
        if table is None
        else _from_table(table, request, about, setting)
    )
    if not drawn.labels:
        raise UsageError(f"{request.file.name}: holds no labels; {drawn.ignored} features are ignored")
    notes = drawn.notes + _place_notes(drawn.labels, setting.scene, request.file.name)
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
    scene_id = None if setting.scene is None else setting.scene.scene_id
    stored = insert_labels(conn, drawn.labels, source_id=source_id, scene_id=scene_id)
    counts = Counter(label.land_class_code for label in drawn.labels)
    keys = {each.code: each.key for each in setting.classes}
    notes += (", ".join(f"{keys[code]} {count}" for code, count in sorted(counts.items())),)
    return FeatureOutcome(KIND, name, True, stored, drawn.repaired, drawn.ignored, replaced, notes)


def _setting(conn: Connection[Any], about: LabelRequest) -> _Setting:
    if about.product is not None and about.valid_on is not None:
        raise UsageError("--scene and --valid-on exclude each other: labels of a scene describe its day")
    if about.class_name is not None and about.classes_file is not None:
        raise UsageError("--class and --classes exclude each other")
    if about.valid_on is not None and about.valid_on > datetime.now(UTC).date():
        raise UsageError(f"--valid-on {about.valid_on}: that day is still to come")
    classes = list_classes(conn)
    scene = None if about.product is None else scene_by_product(conn, about.product)
    mapping = None if about.classes_file is None else read_class_mapping(about.classes_file, classes)
    one_class = None
    if about.class_name is not None:
        one_class = class_codes([about.class_name], None, classes, "--class")[0]
    return _Setting(scene, classes, mapping, one_class)


def _stated_day(about: LabelRequest, setting: _Setting) -> date | None:
    return about.valid_on if setting.scene is None else setting.scene.acquired_on


def _from_table(
    table: FeatureTable, request: FeatureRequest, about: LabelRequest, setting: _Setting
) -> _Drawn:
    table = take_rows(table, keep_only(table, request.only))
    fields = [
        Field(CLASS.name, CLASS.aliases, is_required=setting.one_class is None),
        Field(VALID_ON.name, VALID_ON.aliases, is_required=_stated_day(about, setting) is None),
        INTERPRETER,
    ]
    columns = match_columns(table, fields, request.fields)
    if setting.one_class is not None:
        codes: list[int | None] = [setting.one_class] * len(table.ids)
    else:
        codes = class_codes(texts(table, columns[CLASS.name]), setting.mapping, setting.classes, table.name)
    rows = [row for row, code in enumerate(codes) if code is not None]
    ignored = len(codes) - len(rows)
    table = take_rows(table, rows)
    codes = [codes[row] for row in rows]
    day, day_column = _stated_day(about, setting), columns[VALID_ON.name]
    valid_on = [day or date.max] * len(rows)
    if day is None and day_column is not None:
        valid_on = days(table, day_column)
    crs = crs_of(table, request.srid)
    shapes = storable_shapes(table, crs, "polygons", repair=request.repair)
    people = [text or about.interpreter for text in texts(table, columns[INTERPRETER.name])]
    labels = [
        NewLabel(code, shape, day, person)
        for code, shape, day, person in zip(codes, shapes.geometries, valid_on, people, strict=True)
        if code is not None
    ]
    return _Drawn(labels, len(shapes.repaired), ignored, crs_notes(crs))


def _from_raster(request: FeatureRequest, about: LabelRequest, setting: _Setting) -> _Drawn:
    name = request.file.name
    if setting.mapping is None:
        raise UsageError(f"{name}: a class raster needs --classes FILE.toml, which says what its values mean")
    day = _stated_day(about, setting)
    if day is None:
        raise UsageError(f"{name}: a class raster needs --scene PRODUCT or --valid-on DATE")
    if request.fields or request.only or request.layer is not None or request.srid is not None:
        raise UsageError(f"{name}: --field, --only, --layer and --srid are for vector files")
    found: ClassPatches = class_patches(request.file, setting.mapping, setting.classes)
    labels = [
        NewLabel(code, shape, day, about.interpreter)
        for code, shape in zip(found.codes, found.geometries, strict=True)
    ]
    ignored = f"{found.ignored_px} of {found.total_px} pixels hold no class and are ignored"
    return _Drawn(labels, 0, 0, (*found.notes, ignored))


def _place_notes(labels: Sequence[NewLabel], scene: Scene | None, name: str) -> tuple[str, ...]:
    """Refuse labels that lie elsewhere than their scene, and count those that partly do."""
    if scene is None:
        return ()
    shapely.prepare(scene.footprint)
    touching = shapely.intersects(scene.footprint, np.array([label.geometry for label in labels]))
    outside = int(np.count_nonzero(~touching))
    if outside == len(labels):
        raise UsageError(f"{name}: none of its {outside} labels touches scene {scene.product!r}")
    return (f"warning: {outside} labels lie outside of scene {scene.product!r}",) if outside else ()
