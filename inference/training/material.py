"""What a network is trained, validated and tested on: scenes, their labelled pixels, and the part of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.labels import Label, labels_of_scene
from db.registry import ModelRecord
from db.samples import sample_set_by_name, samples_of_set
from db.scenes import Scene, scene_by_id
from inference.samples.ground import SampleGround
from inference.scene_source import SceneSource
from inference.training.blocks import BlockGrid, LabelledPixels, Split
from inference.training.label_maps import UNLABELLED, LabelMap, label_map
from inference.training.samples import TrainingScene
from inference.training.scenes import Chosen, chosen_of, training_sources
from inference.training.split import make_split, pixels_by_part
from inference.training.statistics import observed_labels


@dataclass(frozen=True)
class Material:
    """Everything a training needs of the database; from here on no labels are read.

    Attributes:
        chosen: scenes and bands.
        scenes: the same scenes with their pixels, labels and split.
        ground: what is trained on.
        counts: (parts, classes) labelled pixels.

    """

    chosen: Chosen
    scenes: list[TrainingScene]
    ground: Split | SampleGround
    counts: NDArray[np.int64]


def material_of_blocks(
    conn: Connection[TupleRow],
    reading: Connection[TupleRow],
    chosen: Chosen,
    block_m: float | None,
    seed: int,
) -> Material:
    """Split the labels of scenes by spatial block.

    Args:
        conn: for labels.
        reading: for pixels, used as long as the material is.
        chosen: the scenes.
        block_m: edge of the blocks, m; None: by extent.
        seed: of the search for a balanced split.

    Raises:
        UsageError: no label covers a pixel with data.

    """
    drawn, sources = _drawn(conn, reading, chosen)
    maps = [(labels, scene.grid) for (labels, _), scene in zip(drawn, chosen.scenes, strict=True)]
    split, pixels = make_split(maps, block_m, seed)
    return _material(chosen, sources, pixels, [split.part_of_pixels(each) for each in pixels], split)


def material_of_samples(
    conn: Connection[TupleRow], reading: Connection[TupleRow], name: str, band_names: Sequence[str]
) -> Material:
    """The windows of a sample set, with the labels as they are today.

    Args:
        conn: for labels and samples.
        reading: for pixels.
        name: of the set.
        band_names: bands; none: all that its scenes share.

    Raises:
        UsageError: no such set, or nothing of its labels is left.

    """
    found = sample_set_by_name(conn, name)
    scenes = [scene_by_id(conn, scene_id) for scene_id in found.scene_ids]
    chosen = chosen_of(scenes, band_names)
    ground = SampleGround.of_samples(found, samples_of_set(conn, found.sample_set_id))
    drawn, sources = _drawn(conn, reading, chosen)
    # figures are resampled by blocks of ground as large as a window, the same in all years
    block_grid = BlockGrid(scenes[0].grid.srid, found.tile_px * chosen.resolution_m)
    pixels, parts = [], []
    for number, ((labels, keys), scene) in enumerate(zip(drawn, scenes, strict=True)):
        here = LabelledPixels.of_scene(labels, scene.grid, block_grid)
        pixels.append(here)
        parts.append(ground.parts(number, labels, keys)[here.rows, here.cols])
    return _material(chosen, sources, pixels, parts, ground)


def material_of_model(
    conn: Connection[TupleRow], reading: Connection[TupleRow], model: ModelRecord, band_names: Sequence[str]
) -> Material:
    """What a model was trained on, in bands of choice and with the labels as they are today.

    Raises:
        UsageError: the model does not say, a scene or its sample set is gone, or the set was made anew.

    """
    stored = model.training.get("split")
    if not isinstance(stored, dict):
        raise UsageError(f"model {model.name} does not say which ground it was trained on: train it again")
    if "sample_set" in stored:
        material = material_of_samples(conn, reading, str(stored["sample_set"]), band_names)
        if material.ground.as_json() != stored:
            raise UsageError(
                f"the sample set {stored['sample_set']} is not the one that {model.name} was trained on: it "
                "was made anew since; train again"
            )
        return material
    split = Split.from_json(stored)
    ids = [int(scene["scene_id"]) for scene in model.training["scenes"]]
    chosen = chosen_of([scene_by_id(conn, scene_id) for scene_id in ids], band_names)
    drawn, sources = _drawn(conn, reading, chosen)
    pixels = [
        LabelledPixels.of_scene(labels, scene.grid, split.grid)
        for (labels, _), scene in zip(drawn, chosen.scenes, strict=True)
    ]
    return _material(chosen, sources, pixels, [split.part_of_pixels(each) for each in pixels], split)


def _material(
    chosen: Chosen,
    sources: Sequence[SceneSource],
    pixels: Sequence[LabelledPixels],
    parts: Sequence[NDArray[np.uint8]],
    ground: Split | SampleGround,
) -> Material:
    scenes = [
        TrainingScene(source, scene.product, here, part)
        for source, scene, here, part in zip(sources, chosen.scenes, pixels, parts, strict=True)
    ]
    counts = pixels_by_part([(scene.labelled, scene.parts) for scene in scenes])
    return Material(chosen, scenes, ground, counts)


def _drawn(
    conn: Connection[TupleRow], reading: Connection[TupleRow], chosen: Chosen
) -> tuple[list[tuple[LabelMap, NDArray[np.int64]]], list[SceneSource]]:
    """Labels of each scene on its grid, with the key of the label that is polygon 1, 2, ...; and pixels.

    Ends the transaction of ``conn``: a training of hours does not keep one open.
    """
    labels = [labels_of_scene(conn, scene.scene_id) for scene in chosen.scenes]
    conn.rollback()
    sources = training_sources(reading, chosen)
    drawn = [
        (observed_labels(source, _map(here, scene)), np.array([each.label_id for each in here], np.int64))
        for source, here, scene in zip(sources, labels, chosen.scenes, strict=True)
    ]
    if not any((each.polygons != UNLABELLED).any() for each, _ in drawn):
        raise UsageError(
            "no label of a class that networks know (codes 0 to 7) covers a pixel with data of "
            f"{', '.join(scene.product for scene in chosen.scenes)}: check where the labels lie"
        )
    return drawn, sources


def _map(labels: Sequence[Label], scene: Scene) -> LabelMap:
    codes = [label.land_class_code for label in labels]
    return label_map(codes, [label.geometry for label in labels], scene.grid)
