"""What a file of labels holds, before it is stored: class, shape, scene and day of each label."""

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
from db.labels import NewLabel
from db.scenes import Scene, list_scenes, scene_by_id, scene_by_product
from ingest.class_mapping import ClassMapping, class_codes, read_class_mapping
from ingest.class_raster import ClassPatches, class_patches
from ingest.columns import Field, days, keep_only, match_columns, take_rows, texts
from ingest.files import SourceFile
from ingest.geometry import storable_shapes
from ingest.requests import FeatureRequest, crs_notes, crs_of
from ingest.vectors import FeatureTable

CLASS = Field("class", ("land_class", "land_class_code"))
VALID_ON = Field("valid_on", ("date", "year"))
INTERPRETER = Field("interpreter")
SCENE = Field("scene", ("product",))


@dataclass(frozen=True)
class LabelRequest:
    """What is said about labels besides how the file is read.

    Attributes:
        product: scene they were drawn on; without it a column may name one for each label.
        valid_on: day they describe; without it and without a scene a column says it.
        classes_file: the user's table of classes.
        class_name: one class for all features.
        interpreter: who drew them, where no column says it.
        is_counted: they decide the class of their ground in their year's account.

    """

    product: str | None = None
    valid_on: date | None = None
    classes_file: SourceFile | None = None
    class_name: str | None = None
    interpreter: str | None = None
    is_counted: bool = False


@dataclass(frozen=True)
class DrawnLabels:
    """Labels of a file before they are stored."""

    labels: list[NewLabel]
    repaired: int
    ignored: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class LabelSetting:
    """What labels of a request refer to."""

    scene: Scene | None
    classes: list[LandClass]
    mapping: ClassMapping | None
    one_class: int | None


def label_setting(conn: Connection[Any], about: LabelRequest) -> LabelSetting:
    """Look up what a request refers to.

    Raises:
        UsageError: parts of it exclude each other, or name a scene or class that is not there.

    """
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
    return LabelSetting(scene, classes, mapping, one_class)


def labels_of_table(
    conn: Connection[Any],
    table: FeatureTable,
    request: FeatureRequest,
    about: LabelRequest,
    setting: LabelSetting,
) -> DrawnLabels:
    """Labels of a vector file, checked.

    Raises:
        UsageError: a class, a scene, a day or a shape is missing or wrong.

    """
    table = take_rows(table, keep_only(table, request.only))
    class_field = Field(CLASS.name, CLASS.aliases, is_required=setting.one_class is None)
    columns = match_columns(table, (class_field, SCENE, VALID_ON, INTERPRETER), request.fields)
    codes: list[int | None] = [setting.one_class] * len(table.ids)
    if setting.one_class is None:
        codes = class_codes(texts(table, columns[CLASS.name]), setting.mapping, setting.classes, table.name)
    rows = [row for row, code in enumerate(codes) if code is not None]
    ignored = len(codes) - len(rows)
    table = take_rows(table, rows)
    scenes = _scenes(conn, table, about, setting, columns[SCENE.name])
    valid_on = _days(table, about, scenes, columns[VALID_ON.name])
    crs = crs_of(table, request.srid)
    shapes = storable_shapes(table, crs, "polygons", repair=request.repair)
    people = [text or about.interpreter for text in texts(table, columns[INTERPRETER.name])]
    kept = [code for code in codes if code is not None]
    labels = [
        NewLabel(
            code, shape, day, person, None if scene is None else scene.scene_id, is_counted=about.is_counted
        )
        for code, shape, day, person, scene in zip(
            kept, shapes.geometries, valid_on, people, scenes, strict=True
        )
    ]
    return DrawnLabels(labels, len(shapes.repaired), ignored, crs_notes(crs))


def _scenes(
    conn: Connection[Any],
    table: FeatureTable,
    about: LabelRequest,
    setting: LabelSetting,
    column: str | None,
) -> list[Scene | None]:
    """The scene each label was drawn on: that of ``--scene``, else what a column says, else none.

    Raises:
        UsageError: the column names products that are not there.

    """
    if setting.scene is not None or about.valid_on is not None or column is None:
        return [setting.scene] * len(table.ids)
    products = texts(table, column)
    known = {scene.product: scene for scene in list_scenes(conn)}
    strange = Counter(product for product in products if product is not None and product not in known)
    if strange:
        shown = ", ".join(f"{product!r} ({count} times)" for product, count in strange.most_common(5))
        raise UsageError(
            f"{table.name}: column {column!r} names scenes that are not in the database: {shown}. Bring them "
            "first, choose labels with --only, or say --field scene= when the column means something else"
        )
    return [None if product is None else known[product] for product in products]


def _days(
    table: FeatureTable, about: LabelRequest, scenes: Sequence[Scene | None], column: str | None
) -> list[date]:
    """The day each label describes: ``--valid-on``, else its scene's, else what a column says.

    Raises:
        UsageError: a label has none of these.

    """
    if about.valid_on is not None:
        return [about.valid_on] * len(table.ids)
    free = [row for row, scene in enumerate(scenes) if scene is None]
    if free and column is None:
        raise UsageError(
            f"{table.name}: which day or year do the labels describe? State --scene PRODUCT, --valid-on DATE "
            f"or --field valid_on=COLUMN; its columns are: {', '.join(table.columns) or 'none'}"
        )
    said = dict(zip(free, days(take_rows(table, free), column), strict=True)) if column is not None else {}
    return [said[row] if scene is None else scene.acquired_on for row, scene in enumerate(scenes)]


def labels_of_raster(request: FeatureRequest, about: LabelRequest, setting: LabelSetting) -> DrawnLabels:
    """Labels of a class raster.

    Raises:
        UsageError: nothing says what its values or its day are, or it is no class raster.

    """
    name = request.file.name
    if setting.mapping is None:
        raise UsageError(f"{name}: a class raster needs --classes FILE.toml, which says what its values mean")
    day = about.valid_on if setting.scene is None else setting.scene.acquired_on
    if day is None:
        raise UsageError(f"{name}: a class raster needs --scene PRODUCT or --valid-on DATE")
    if request.fields or request.only or request.layer is not None or request.srid is not None:
        raise UsageError(f"{name}: --field, --only, --layer and --srid are for vector files")
    found: ClassPatches = class_patches(request.file, setting.mapping, setting.classes)
    scene_id = None if setting.scene is None else setting.scene.scene_id
    labels = [
        NewLabel(code, shape, day, about.interpreter, scene_id, is_counted=about.is_counted)
        for code, shape in zip(found.codes, found.geometries, strict=True)
    ]
    ignored = f"{found.ignored_px} of {found.total_px} pixels hold no class and are ignored"
    return DrawnLabels(labels, 0, 0, (*found.notes, ignored))


def place_notes(conn: Connection[Any], labels: Sequence[NewLabel], name: str) -> tuple[str, ...]:
    """Refuse labels that lie elsewhere than their scene, and count those that partly do."""
    notes = []
    for scene_id in sorted({label.scene_id for label in labels if label.scene_id is not None}):
        scene = scene_by_id(conn, scene_id)
        drawn = np.array([label.geometry for label in labels if label.scene_id == scene_id])
        shapely.prepare(scene.footprint)
        outside = int(np.count_nonzero(~shapely.intersects(scene.footprint, drawn)))
        if outside == len(drawn):
            raise UsageError(f"{name}: none of its {outside} labels touches scene {scene.product!r}")
        if outside:
            notes.append(f"warning: {outside} labels lie outside of scene {scene.product!r}")
    return tuple(notes)
