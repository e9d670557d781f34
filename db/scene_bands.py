"""The bands of a scene: its own where a product brought them, else those of its instrument."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.scenes import Scene, SceneBand

_OWN = """
select name, common_name, center_nm, width_nm, fault from lode.scene_band
where scene_id = %s order by position
"""

_OF_SENSOR = """
select b.name, b.common_name, b.center_nm, b.width_nm
from lode.sensor_band b join lode.sensor e using (sensor_id) where e.key = %s
"""


def scene_bands(conn: Connection[Any], scene: Scene) -> list[SceneBand]:
    """The bands of a scene, in the order of its raster.

    Args:
        conn: connection.
        scene: the scene.

    """
    own = conn.execute(_OWN, (scene.scene_id,)).fetchall()
    if len(own) == len(scene.band_names):
        return [SceneBand(*row) for row in own]
    of_sensor = {row[0]: SceneBand(*row) for row in conn.execute(_OF_SENSOR, (scene.sensor,)).fetchall()}
    return [of_sensor.get(name, SceneBand(name)) for name in scene.band_names]
