"""Ground that a pretraining must not see: the test ground of a model or of a sample set."""

from __future__ import annotations

import shapely
from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import list_models
from db.samples import SPLITS, list_sample_sets, sample_set_by_name, samples_of_set
from db.scenes import scene_by_id
from inference.pretraining.blocks import Outline, blocks_outline
from inference.training.blocks import TEST, Split


def ground_of_test(conn: Connection[TupleRow], name: str) -> list[Outline]:
    """The test ground of a model or, where no model is called so, of a sample set; no label is read.

    Args:
        conn: connection.
        name: of a model that was trained here, or of a sample set.

    Raises:
        UsageError: neither is there, or the model does not say which ground it was tested on.

    """
    models = {record.name: record for record in list_models(conn)}
    if name not in models:
        if name not in [each.name for each in list_sample_sets(conn)]:
            raise UsageError(
                f"there is no model and no sample set called {name!r} whose test ground could be left out: "
                "see `lode model list` and `lode samples list`"
            )
        return _of_samples(conn, name)
    stored = models[name].training.get("split")
    if not isinstance(stored, dict):
        raise UsageError(f"model {name} does not say which ground it was tested on: name another")
    if "sample_set" in stored:
        return _of_samples(conn, str(stored["sample_set"]))
    return [split_test_ground(Split.from_json(stored))]


def split_test_ground(split: Split) -> Outline:
    """The test blocks of a split."""
    return blocks_outline(split.grid, [key for key, part in split.parts.items() if part == TEST])


def _of_samples(conn: Connection[TupleRow], name: str) -> list[Outline]:
    found = sample_set_by_name(conn, name)
    boxes: dict[int, list[shapely.Polygon]] = {}
    grids = {scene_id: scene_by_id(conn, scene_id).grid for scene_id in found.scene_ids}
    for sample in samples_of_set(conn, found.sample_set_id):
        if sample.split != SPLITS[TEST]:
            continue
        grid = grids[sample.scene_id]
        west = grid.origin_x + sample.col_px * grid.resolution_x
        north = grid.origin_y - sample.row_px * grid.resolution_y
        east = west + sample.width_px * grid.resolution_x
        south = north - sample.height_px * grid.resolution_y
        boxes.setdefault(grid.srid, []).append(shapely.box(west, south, east, north))
    return [Outline(srid, shapely.MultiPolygon(_parts(shapes))) for srid, shapes in boxes.items()]


def _parts(shapes: list[shapely.Polygon]) -> list[shapely.Polygon]:
    union = shapely.union_all(shapes)
    return [part for part in shapely.get_parts(union) if isinstance(part, shapely.Polygon)]
