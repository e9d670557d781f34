"""A scene file into the database: checked, put on its grid, tiled and catalogued in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from psycopg import Connection
from rasterio.io import DatasetReader

from db.accounting import refresh_scenes
from db.errors import UsageError
from db.labels import move_labels
from db.locks import allow_long_transaction, hold
from db.scenes import (
    Scene,
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
from ingest.scene_facts import read_facts
from ingest.scene_record import TILE_PX, new_scene
from ingest.view import scene_view

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


def ingest_scene(
    conn: Connection[Any],
    file: SourceFile,
    statement: Statement,
    *,
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
    moved = 0
    if older is not None:
        moved = move_labels(conn, older.scene_id, scene_id)
        refresh_scenes(conn, [older.scene_id, scene_id])
    notes = tuple(str(step["text"]) for step in scene.steps if "text" in step)
    return SceneOutcome(
        scene_by_id(conn, scene_id), True, None if older is None else older.version, moved, notes
    )


def _refuse_other_name(conn: Connection[Any], file: SourceFile, sha256: str, product: str) -> None:
    others = [name for name in current_products_of_content(conn, sha256) if name != product]
    if others:
        raise UsageError(
            f"{file.name}: this very file is in the database already, as product {others[0]!r}; under a "
            "second name it would stand twice in every list. To declare it anew, state that name by --product"
        )
