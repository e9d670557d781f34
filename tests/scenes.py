"""Scenes of the database as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from db.connection import connect
from db.scenes import Scene, current_scene, open_scene

FloatArray = NDArray[np.float32]


def reflectance(url: str, product: str) -> tuple[Scene, FloatArray]:
    """The counting version of a scene and its values (bands, height, width), NaN without data."""
    with connect(url) as conn:
        scene = current_scene(conn, product)
        assert scene is not None
        stored = open_scene(conn, scene).read(0, 0, scene.grid.height_px, scene.grid.width_px)
    values = (stored.astype(np.float32) + scene.value_offset) * scene.value_scale
    if scene.nodata is not None:
        values[stored == scene.nodata] = np.nan
    return scene, values
