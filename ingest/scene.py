"""A scene file into the database: checked, put on its grid, tiled and catalogued in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from psycopg import Connection
from rasterio.io import DatasetReader

from db.errors import UsageError
from db.locks import allow_long_transaction, hold
from db.scenes import (
    Acquisition,
    current_products_of_content,
    current_scene,
    insert_scene,
    is_known_srid,
    reserve_scene_id,
    scene_by_id,
    tile_table_of,
)
from db.sensors import sensor_by_key
from ingest.clouds import read_clouds
from ingest.declaration import Statement, check_product_name
from ingest.figures import check_observed, scene_figures
from ingest.files import SourceFile
from ingest.loader import load_raster
from ingest.opening import open_raster, reading
from ingest.plausibility import check_reflectance
from ingest.processing.declared import declared_material
from ingest.processing.treatment import Treatment
from ingest.scene_facts import SceneFacts, read_facts
from ingest.scene_record import TILE_PX, new_scene
from ingest.scene_store import Entry, Progress, Report, SceneOutcome, other_products, take_place
from ingest.treated_scene import Connect, comparison_with, reference_scene, store_material
from ingest.view import SceneView, scene_view


def ingest_scene(
    conn: Connection[Any],
    file: SourceFile,
    statement: Statement,
    *,
    treatment: Treatment | None = None,
    connect: Connect | None = None,
    cloud_file: SourceFile | None = None,
    roots: Sequence[Path] = (),
    report: Report = lambda _line: None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> SceneOutcome:
    """Bring a GeoTIFF into the database, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left.

    Args:
        conn: connection, not in autocommit mode.
        file: the file.
        statement: what the user says about it.
        treatment: what is to be done to the pixels; by default nothing.
        connect: opens a connection of its own, to read a reference scene with.
        cloud_file: vector file with outlines of cloud and shadow, which count as not observed.
        roots: folders that parts of that file must lie in; empty: any.
        report: takes a line when there is something to wait for.
        progress: takes the progress of reading and of storing.

    Raises:
        UsageError: the file or what is said about it cannot be right.

    """
    check_product_name(statement.product)
    sensor = sensor_by_key(conn, statement.sensor)
    allow_long_transaction(conn)
    with open_raster(file) as dataset, reading(file), ExitStack() as stack:
        found = read_facts(dataset, file, statement, sensor)
        clouds = None
        if cloud_file is not None:
            clouds = read_clouds(cloud_file, roots, found.plan.grid)
            found.declared["clouds_sha256"] = clouds.sha256
        reference = None
        if treatment is not None and not treatment.is_idle:
            found.declared["treatment"] = treatment.as_json()
            reference = reference_scene(conn, treatment, statement.product)
            if reference is not None:
                found.declared["reference_version"] = reference.version
        if not is_known_srid(conn, found.plan.grid.srid):
            raise UsageError(f"{file.name}: the database's PostGIS does not know EPSG:{found.plan.grid.srid}")
        sha256 = file.sha256()
        for name in sorted((f"scene content {sha256}", f"scene product {statement.product}")):
            hold(conn, name, report)
        older = current_scene(conn, statement.product)
        if older is not None and older.sha256 == sha256 and list(older.steps[:1]) == [found.declared]:
            return SceneOutcome(older, False, None, 0, ())
        other_products(current_products_of_content(conn, sha256), statement.product, file.name)
        view = stack.enter_context(
            scene_view(
                dataset,
                found.plan,
                file.name,
                stated_nodata=statement.nodata,
                resampling=statement.resampling,
            )
        )
        if treatment is not None and not treatment.is_idle:
            material = declared_material(view, found, file.name)
            return store_material(
                conn,
                material,
                treatment,
                _entry(file, statement, found, view, sha256),
                replaces=older,
                clouds=clouds,
                comparison=comparison_with(stack, connect, reference, material),
                report=report,
                progress=progress,
            )
        figures = scene_figures(
            view,
            found.naming.names,
            clouds=clouds,
            progress=lambda done, total: progress("reading", done, total),
        )
        check_observed(figures, file.name)
        if figures.mask is None and not view.nodata.in_source:
            view = view.without_nodata()
        warnings = check_reflectance(
            figures.bands, found.meaning, file.name, sensor=sensor.key, nodata=view.nodata.value
        )
        scene = new_scene(file, statement, found, view, figures, clouds, warnings, sha256)
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
    moved = take_place(conn, older, scene_id)
    notes = tuple(str(step["text"]) for step in scene.steps if "text" in step)
    return SceneOutcome(
        scene_by_id(conn, scene_id), True, None if older is None else older.version, moved, notes
    )


def _entry(file: SourceFile, statement: Statement, found: SceneFacts, view: SceneView, sha256: str) -> Entry:
    return Entry(
        product=statement.product,
        sensor=found.sensor,
        acquired_on=statement.acquired_on,
        acquisition=Acquisition(),
        sha256=sha256,
        source_name=file.name,
        parts=(),
        metadata={},
        declared=found.declared,
        notes=(*view.notes, *view.nodata.notes, *found.plan.notes),
    )
