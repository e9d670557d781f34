"""The windows of a sample set as ground: what is trained on, and the part of every labelled pixel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid
from db.samples import SPLITS, Sample, SampleSet
from inference.samples.counts import sample_truth
from inference.segmentation_model import IGNORED
from inference.training.blocks import TRAIN
from inference.training.label_maps import LabelMap


@dataclass(frozen=True)
class SampleGround:
    """A sample set, its samples in the order of its scenes.

    Attributes:
        name: of the set.
        tile_px: edge of its windows.
        samples: for each scene of the set its samples.

    """

    name: str
    tile_px: int
    samples: tuple[tuple[Sample, ...], ...]

    @classmethod
    def of_samples(cls, found: SampleSet, samples: Sequence[Sample]) -> SampleGround:
        """A set as it lies in the database."""
        by_scene = tuple(
            tuple(sample for sample in samples if sample.scene_id == scene_id) for scene_id in found.scene_ids
        )
        return cls(found.name, found.tile_px, by_scene)

    def training_boxes(self) -> list[NDArray[np.int64]]:
        """For each scene its training windows (windows, 4): first row, first column, end row, end column."""
        return [
            np.array([_box(sample) for sample in samples if sample.split == SPLITS[TRAIN]], np.int64).reshape(
                -1, 4
            )
            for samples in self.samples
        ]

    def pixels_when_made(self, split: str) -> int:
        """Labelled pixels of a part when the set was made, each counted once."""
        return sum(
            sum(sample.own_class_pixels)
            for samples in self.samples
            for sample in samples
            if sample.split == split
        )

    def parts(self, scene: int, labels: LabelMap, label_ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(height, width): 0 training, 1 validation, 2 test, 255 where no sample counts a label.

        Args:
            scene: place of the scene in the set.
            labels: all its labels, drawn.
            label_ids: (polygons,) key of the label that is polygon 1, 2, ... of the map.

        """
        parts = np.full(labels.classes.shape, IGNORED, np.uint8)
        for sample in self.samples[scene]:
            top, left, bottom, right = _box(sample)
            is_counted = sample_truth(labels, label_ids, sample) != IGNORED
            parts[top:bottom, left:right][is_counted] = SPLITS.index(sample.split)
        return parts

    def is_training_ground(
        self,
        scene: int,
        grid: Grid,  # noqa: ARG002 - windows are known in pixels; blocks need it
        rows: NDArray[np.int64],
        cols: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Whether each pixel lies in a training window."""
        inside = np.zeros(rows.shape, bool)
        if rows.size == 0:
            return inside
        boxes = self.training_boxes()[scene]
        near = (boxes[:, 0] <= rows.max()) & (boxes[:, 2] > rows.min())
        near &= (boxes[:, 1] <= cols.max()) & (boxes[:, 3] > cols.min())
        for top, left, bottom, right in boxes[near].tolist():
            inside |= (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)
        return inside

    def as_json(self) -> dict[str, Any]:
        """For the registry: the set's name and the SHA-256 of its windows and of the labels that count."""
        places = [
            [sample.scene_id, *_box(sample), sample.split, sample.label_ids]
            for samples in self.samples
            for sample in samples
        ]
        return {"sample_set": self.name, "digest": hashlib.sha256(json.dumps(places).encode()).hexdigest()}


def _box(sample: Sample) -> tuple[int, int, int, int]:
    return (
        sample.row_px,
        sample.col_px,
        sample.row_px + sample.height_px,
        sample.col_px + sample.width_px,
    )
