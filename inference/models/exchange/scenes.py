"""The scenes a model was trained on, as far as they are known."""

from __future__ import annotations

from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import ModelRecord
from db.scenes import scene_by_id
from inference.models.exchange.content import facts_from
from inference.models.exchange.schema import SceneFacts


def scene_facts(conn: Connection[TupleRow], record: ModelRecord) -> list[SceneFacts]:
    """Sensor, day and pixels of each training scene; of one that left the catalogue its name alone.

    A model that was imported brought its scenes with it: keys in its record are those of another database.
    """
    brought = facts_from(record.training)
    if brought is not None:
        return brought
    return [
        _facts(conn, scene.get("scene_id"), str(scene["product"]), scene.get("version"))
        for scene in record.training.get("scenes", [])
    ]


def _facts(conn: Connection[TupleRow], scene_id: int | None, product: str, version: int | None) -> SceneFacts:
    bare = SceneFacts(product=product, version=version)
    if scene_id is None:
        return bare
    try:
        scene = scene_by_id(conn, scene_id)
    except UsageError:  # it was removed; the record keeps its name
        return bare
    if (scene.product, scene.version) != (product, version):
        return bare
    return SceneFacts(
        product=product,
        version=version,
        sensor=scene.sensor,
        acquired_on=scene.acquired_on.isoformat(),
        resolution_m=scene.grid.resolution_x,
        processing_level=scene.processing_level,
    )
