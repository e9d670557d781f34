"""A small share of the training labels, in whole pieces as an interpreter would have drawn them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Connection

from db.labels import labels_of_scene
from inference.segmentation_model import IGNORED
from inference.training.blocks import TRAIN
from inference.training.label_maps import label_map
from inference.training.material import Material
from inference.training.samples import TrainingScene

PIECE_PX = 16
"""Edge of the squares that polygons are cut into: rare classes have a polygon or two, far above 1 %."""


@dataclass(frozen=True)
class LabelPieces:
    """Which piece each labelled pixel belongs to.

    Attributes:
        pieces: for each scene (pixels,) number of the piece, over all scenes; the same order as its labels.

    """

    pieces: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True)
class LabelShare:
    """Scenes with a share of their training labels; validation and test as they were.

    Attributes:
        scenes: with fewer training labels.
        pieces: that are left.
        pixels: (classes,) labelled training pixels that are left.
        share: of all labelled training pixels.

    """

    scenes: list[TrainingScene]
    pieces: int
    pixels: NDArray[np.int64]
    share: float


def pieces_of(conn: Connection[Any], material: Material) -> LabelPieces:
    """Cut the labels of a material into pieces: one polygon inside one square of a scene's pixels.

    Args:
        conn: for the polygons; read once more, for pixels do not know theirs.
        material: scenes and labels.

    """
    pieces, first = [], 0
    for scene, known in zip(material.scenes, material.chosen.scenes, strict=True):
        labels = labels_of_scene(conn, known.scene_id)
        codes, shapes = [each.land_class_code for each in labels], [each.geometry for each in labels]
        rows, cols = scene.labelled.rows, scene.labelled.cols
        polygons = label_map(codes, shapes, known.grid).polygons[rows, cols].astype(np.int64)
        across = -(-known.grid.width_px // PIECE_PX)
        squares = rows // PIECE_PX * across + cols // PIECE_PX
        down = -(-known.grid.height_px // PIECE_PX)
        found, numbers = np.unique(polygons * (across * down) + squares, return_inverse=True)
        pieces.append(numbers.astype(np.int64) + first)
        first += found.size
    return LabelPieces(tuple(pieces))


def share_of(material: Material, pieces: LabelPieces, share: float, seed: int) -> LabelShare:
    """Keep a share of the training labels of each class, in whole pieces, and at least one piece.

    The pieces of a smaller share are among those of a larger one of the same seed.

    Args:
        material: with all labels.
        pieces: of the same material.
        share: to keep, above 0 to 1.
        seed: decides which.

    """
    rng = np.random.default_rng(seed)
    numbers = np.concatenate(pieces.pieces)
    classes = np.concatenate([scene.labelled.classes for scene in material.scenes])
    is_training = np.concatenate([scene.parts for scene in material.scenes]) == TRAIN
    kept: list[NDArray[np.int64]] = []
    for code in np.unique(classes[is_training]):
        of_class, counts = np.unique(numbers[is_training & (classes == code)], return_counts=True)
        order = rng.permutation(of_class.size)
        # up to the piece that brings it nearest to the share
        reached = np.cumsum(counts[order])
        nearest = int(np.argmin(np.abs(reached - share * counts.sum())))
        kept.append(of_class[order[: nearest + 1]])
    chosen = np.concatenate(kept)
    scenes = [
        replace(
            scene,
            parts=np.where((scene.parts == TRAIN) & ~np.isin(here, chosen), np.uint8(IGNORED), scene.parts),
        )
        for scene, here in zip(material.scenes, pieces.pieces, strict=True)
    ]
    pixels = _pixels(scenes, material.counts.shape[1])
    return LabelShare(scenes, chosen.size, pixels, float(pixels.sum() / is_training.sum()))


def _pixels(scenes: Sequence[TrainingScene], classes: int) -> NDArray[np.int64]:
    counts = np.zeros(classes, np.int64)
    for scene in scenes:
        counts += np.bincount(scene.labelled.classes[scene.parts == TRAIN], minlength=classes)
    return counts
