"""A scene file into the database: checked, put on its grid, tiled and catalogued in one transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from psycopg import Connection
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from db.accounting import refresh_scenes
from db.errors import UsageError
from db.labels import move_labels
from db.locks import allow_long_transaction, hold
from db.scenes import (
    NewScene,
    Scene,
    current_products_of_content,
    current_scene,
    insert_scene,
    is_known_srid,
    reserve_scene_id,
    scene_by_id,
    tile_table_of,
)
from db.sensors import Sensor, sensor_by_key
from ingest.bands import BandNaming, name_bands
from ingest.crs import file_crs
from ingest.declaration import Statement, ValueMeaning, check_product_name, value_meaning
from ingest.figures import SceneFigures, check_observed, scene_figures
from ingest.files import SourceFile
from ingest.footprint import footprint
from ingest.gridding import GridPlan, plan_grid
from ingest.loader import load_raster
from ingest.opening import open_raster, reading
from ingest.plausibility import check_reflectance
from ingest.view import SceneView, scene_view

TILE_PX = 256

Report = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""Called with a stage's name, rows done and rows in all."""


@dataclass(frozen=True)
class SceneOutcome:
    """What became of a file.

    Attributes:
        scene: the scene as the catalogue has it.
        is_new: False when the same file was there already and nothing happened.
        replaced_version: the version that was superseded; None when there was none.
        moved_labels: labels of that version that now belong to this one.
        notes: what the user should know: warping, nodata, doubts.

    """

    scene: Scene
    is_new: bool
    replaced_version: int | None
    moved_labels: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """What is known of a file before its pixels are read."""

    sensor: Sensor
    naming: BandNaming
    meaning: ValueMeaning
    plan: GridPlan
    declared: dict[str, Any]


def ingest_scene(
    conn: Connection[Any],
    file: SourceFile,
    statement: Statement,
    *,
    report: Report = lambda _line: None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> SceneOutcome:
    """Bring a GeoTIFF into the database, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left.

    Args:
        conn: connection, not in autocommit mode.
        file: the file.
        statement: what the user says about it.
        report: takes a line when there is something to wait for.
        progress: takes the progress of reading and of storing.

    Raises:
        UsageError: the file or what is said about it cannot be right.

    """
    check_product_name(statement.product)
    sensor = sensor_by_key(conn, statement.sensor)
    allow_long_transaction(conn)
    with open_raster(file) as dataset, reading(file), ExitStack() as stack:
        found = _read_facts(dataset, file, statement, sensor)
        if not is_known_srid(conn, found.plan.grid.srid):
            raise UsageError(f"{file.name}: the database's PostGIS does not know EPSG:{found.plan.grid.srid}")
        sha256 = file.sha256()
        for name in sorted((f"scene content {sha256}", f"scene product {statement.product}")):
            hold(conn, name, report)
        older = current_scene(conn, statement.product)
        if older is not None and older.sha256 == sha256 and list(older.steps[:1]) == [found.declared]:
            return SceneOutcome(older, False, None, 0, ())
        _refuse_other_name(conn, file, sha256, statement.product)
        view = stack.enter_context(
            scene_view(
                dataset,
                found.plan,
                file.name,
                stated_nodata=statement.nodata,
                resampling=statement.resampling,
            )
        )
        figures = scene_figures(
            view, found.naming.names, lambda done, total: progress("reading", done, total)
        )
        check_observed(figures, file.name)
        if figures.mask is None and not view.nodata.in_source:
            view = view.without_nodata()
        warnings = check_reflectance(
            figures.bands, found.meaning, file.name, sensor=sensor.key, nodata=view.nodata.value
        )
        scene = _new_scene(file, statement, found, view, figures, warnings, sha256)
        scene_id = reserve_scene_id(conn)
        version = insert_scene(conn, scene_id, scene, replaces=older)
        load_raster(
            conn,
            cast(DatasetReader, view),
            parent="scene_tile",
            owner_id=scene_id,
            table=tile_table_of(scene_id),
            tile_px=TILE_PX,
            comment=f"Tiles of scene {statement.product}, version {version}",
            progress=lambda done, total: progress("storing", done, total),
        )
        file.check_unchanged()
    moved = 0
    if older is not None:
        moved = move_labels(conn, older.scene_id, scene_id)
        refresh_scenes(conn, [older.scene_id, scene_id])
    notes = tuple(str(step["text"]) for step in scene.steps if "text" in step)
    return SceneOutcome(
        scene_by_id(conn, scene_id), True, None if older is None else older.version, moved, notes
    )


def _read_facts(dataset: Any, file: SourceFile, statement: Statement, sensor: Sensor) -> _Reading:
    """Everything that can be refused before a pixel is read."""
    if ColorInterp.palette in dataset.colorinterp:
        raise UsageError(
            f"{file.name}: its pixels are numbers of a colour table, no measurements; "
            "a class map is read by `lode ingest labels`"
        )
    alpha = [band for band, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha]
    naming = name_bands(
        sensor,
        dataset.count,
        dataset.descriptions,
        stated=statement.bands,
        file_name=file.name,
        alpha_bands=alpha,
    )
    is_float = dataset.dtypes[0].startswith("float")
    meaning = value_meaning(statement, sensor, is_float=is_float)
    plan = plan_grid(
        dataset, file.name, nominal_resolution_m=sensor.resolution_m, resolution_m=statement.resolution_m
    )
    grid = plan.grid
    nodata = statement.nodata if statement.nodata is not None else dataset.nodatavals[0]
    is_resampled = plan.reason is not None and not plan.is_turned
    declared = {
        "step": "declared",
        "sensor": sensor.key,
        "acquired_on": statement.acquired_on.isoformat(),
        "bands": list(naming.names),
        "processing_level": meaning.processing_level,
        "value_offset": meaning.value_offset,
        "value_scale": meaning.value_scale,
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        "resampling": statement.resampling if is_resampled else None,
        "grid": [grid.srid, grid.origin_x, grid.origin_y, grid.resolution_x, grid.resolution_y],
        "size_px": [grid.width_px, grid.height_px],
    }
    return _Reading(sensor, naming, meaning, plan, declared)


def _refuse_other_name(conn: Connection[Any], file: SourceFile, sha256: str, product: str) -> None:
    others = [name for name in current_products_of_content(conn, sha256) if name != product]
    if others:
        raise UsageError(
            f"{file.name}: this very file is in the database already, as product {others[0]!r}; under a "
            "second name it would stand twice in every list. To declare it anew, state that name by --product"
        )


def _new_scene(
    file: SourceFile,
    statement: Statement,
    found: _Reading,
    view: SceneView,
    figures: SceneFigures,
    warnings: Sequence[str],
    sha256: str,
) -> NewScene:
    grid = found.plan.grid
    return NewScene(
        product=statement.product,
        sensor_id=found.sensor.sensor_id,
        acquired_on=statement.acquired_on,
        grid=grid,
        band_names=found.naming.names,
        dtype_name=view.dtype.name,
        nodata=view.nodata.value,
        value_offset=found.meaning.value_offset,
        value_scale=found.meaning.value_scale,
        processing_level=found.meaning.processing_level,
        valid_fraction=figures.valid_px / figures.total_px,
        sha256=sha256,
        source_name=file.name,
        tile_px=TILE_PX,
        steps=[found.declared, *_steps(found, view, figures, statement.resampling, warnings)],
        footprint=footprint(figures, grid, file_crs(f"EPSG:{grid.srid}", file.name), file.name),
    )


def _steps(
    found: _Reading, view: SceneView, figures: SceneFigures, resampling: str, warnings: Sequence[str]
) -> list[dict[str, Any]]:
    """What was done to the pixels, and what the user is told about it (``text``)."""
    steps: list[dict[str, Any]] = []
    if found.naming.origin != "--bands":
        steps.append({"step": "bands", "text": f"bands named by {found.naming.origin}"})
    plan, grid = found.plan, found.plan.grid
    if plan.reason is not None and plan.is_turned:
        steps.append({"step": "turned", "text": f"{plan.reason}: turned north-up, no pixel was changed"})
    elif plan.reason is not None:
        steps.append(
            {
                "step": "warped",
                "source_crs": plan.source.name,
                "resampling": resampling,
                "text": f"{plan.reason}: warped to EPSG:{grid.srid} at {grid.resolution_x:g} m, "
                f"{grid.width_px} x {grid.height_px} pixels ({resampling})",
            }
        )
    if figures.replaced:
        text = f"{figures.replaced} values are not finite (NaN, infinite): stored as nodata"
        steps.append({"step": "not_finite", "count": figures.replaced, "text": text})
    steps += [{"step": "pixels", "text": note} for note in (*view.notes, *view.nodata.notes)]
    return steps + [{"step": "warning", "text": f"warning: {text}"} for text in (*plan.notes, *warnings)]
