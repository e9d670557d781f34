"""The ground that the members of an ensemble share: what they were all trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.registry import ModelRecord
from inference.segmentation_model import IGNORED
from inference.training.blocks import SPLIT_NAMES, TEST, VALIDATION
from inference.training.material import material_of_model
from inference.training.samples import TrainingScene


def scenes_of_members(
    conn: Connection[TupleRow],
    reading: Connection[TupleRow],
    members: Sequence[ModelRecord],
    band_names: Sequence[str],
) -> list[TrainingScene]:
    """What the members were trained on, in the ensemble's bands, with the part that all of them agree on.

    Members of other bands may have lacked other pixels, and a polygon belongs to the block that holds most of
    what was observed of it: what was training to one of them and validation to another is not used.

    Raises:
        UsageError: scenes or a sample set are gone, or no label is left for validation or test.

    """
    scenes = material_of_model(conn, reading, members[0], band_names).scenes
    band_sets = {tuple(record.band_names): record for record in members}
    for bands, record in band_sets.items():
        if set(bands) != set(band_names):
            # members may name the same scenes in another order
            theirs = {
                scene.product: scene for scene in material_of_model(conn, reading, record, bands).scenes
            }
            scenes = [replace(scene, parts=agreed_parts(scene, theirs[scene.product])) for scene in scenes]
    for part in (VALIDATION, TEST):
        if not pixels_of_part(scenes, part):
            raise UsageError(
                f"no labelled pixel with data is left for {SPLIT_NAMES[part]} on the ground that the members "
                f"share, in the bands {', '.join(band_names)}: bring back the labels they were trained with"
            )
    return scenes


def agreed_parts(scene: TrainingScene, other: TrainingScene) -> NDArray[np.uint8]:
    """Parts of a scene's labelled pixels, 255 where another view of it says otherwise."""
    grid, labelled = scene.source.grid, other.labelled
    theirs = np.full((grid.height_px, grid.width_px), IGNORED, np.uint8)
    theirs[labelled.rows, labelled.cols] = other.parts
    is_same = theirs[scene.labelled.rows, scene.labelled.cols] == scene.parts
    return np.where(is_same, scene.parts, np.uint8(IGNORED))


def changed_labels(training: Mapping[str, Any], scenes: Sequence[TrainingScene]) -> Iterator[str]:
    """A line for each part whose labelled pixels are not as many as when a member was trained.

    Args:
        training: of the member, as it is stored.
        scenes: its ground as it is labelled today.

    """
    for part in (VALIDATION, TEST):
        then = sum(training.get("pixels", {}).get(SPLIT_NAMES[part], {}).values())
        now = pixels_of_part(scenes, part)
        if then != now:
            yield (
                f"{SPLIT_NAMES[part]}: {now:,} labelled pixels, {then:,} when the members were trained; "
                "labels have changed since, or a member's band has no data there"
            )


def pixels_of_part(scenes: Sequence[TrainingScene], part: int) -> int:
    """Labelled pixels of a part, over all scenes."""
    return sum(int((scene.parts == part).sum()) for scene in scenes)
