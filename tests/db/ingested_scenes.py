"""Scene files ingested as declared, and what is left in the database then."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import Connection

from db.raster import RasterReader
from db.scenes import Scene, open_scene
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import SceneOutcome, ingest_scene

DAY = date(2021, 6, 19)


def ingest(conn: Connection[Any], path: Path, product: str = "scene", **fields: Any) -> SceneOutcome:
    stated = {"sensor": "gf2_pms", "acquired_on": DAY, "product": product} | fields
    return ingest_scene(conn, source_file(path), Statement(**stated))


def pixels_of(conn: Connection[Any], scene: Scene) -> np.ndarray:
    reader: RasterReader = open_scene(conn, scene)
    pixels: np.ndarray = reader.read(0, 0, scene.grid.height_px, scene.grid.width_px)
    return pixels


def leftovers(conn: Connection[Any]) -> tuple[int, int]:
    """Scenes in the catalogue, and relations in the raster schema."""
    row = conn.execute(
        "select (select count(*) from lode.scene),"
        " (select count(*) from pg_class where relnamespace = 'lode_raster'::regnamespace)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]
