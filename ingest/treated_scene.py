"""From a scene's material to its row and tiles, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from psycopg import Connection

from db.errors import UsageError
from db.locks import allow_long_transaction
from db.scenes import Scene, scene_by_id, scene_by_product
from ingest.clouds import Clouds
from ingest.processing.chain import prepare
from ingest.processing.comparison import Comparison
from ingest.processing.material import Material
from ingest.processing.treatment import Treatment
from ingest.scene_store import Entry, Progress, Report, SceneOutcome, store_scene

Connect = Callable[[], AbstractContextManager[Connection[Any]]]


def store_material(
    conn: Connection[Any],
    material: Material,
    treatment: Treatment,
    entry: Entry,
    *,
    replaces: Scene | None,
    clouds: Clouds | None,
    comparison: Comparison | None,
    report: Report,
    progress: Progress,
) -> SceneOutcome:
    """Process and store what was opened."""
    prepared = prepare(material, treatment, clouds=clouds, comparison=comparison, say=report)
    scene_id, moved, notes = store_scene(conn, prepared, entry, replaces=replaces, progress=progress)
    version = None if replaces is None else replaces.version
    return SceneOutcome(scene_by_id(conn, scene_id), True, version, moved, notes)


def reference_scene(conn: Connection[Any], treatment: Treatment, name: str) -> Scene | None:
    """Find the scene to compare with; None when none is named.

    Raises:
        UsageError: there is no such scene, or it is the new one's older version.

    """
    if treatment.reference is None:
        return None
    if treatment.reference == name:
        raise UsageError(f"{name}: a scene cannot be its own reference")
    return scene_by_product(conn, treatment.reference)


def comparison_with(
    stack: ExitStack, connect: Connect | None, reference: Scene | None, material: Material
) -> Comparison | None:
    """Lay the reference under the scene; None without a reference.

    Raises:
        UsageError: bands or grids do not fit.

    """
    if reference is None:
        return None
    if connect is None:
        raise ValueError("a reference scene is read over a connection of its own")
    reading = stack.enter_context(connect())
    # Between two reads another step may take longer than a reader is allowed to be idle.
    allow_long_transaction(reading)
    return Comparison(reading, reference, material.source.grid, material.bands)
