"""What must be known of the pixels before training: where they were observed, and how they are spread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.normalisation import Normalisation
from inference.samples.ground import SampleGround
from inference.scene_source import SceneSource
from inference.segmentation_model import IGNORED
from inference.training.blocks import TRAIN, Split
from inference.training.label_maps import UNLABELLED, LabelMap
from inference.training.samples import TrainingScene

CHUNK_PX = 256
SAMPLES_PER_CHUNK = 4096
MOST_VALUES = 50_000_000
"""Values of all bands and scenes together that statistics are taken of."""


def observed_labels(source: SceneSource, labels: LabelMap) -> LabelMap:
    """The labels of a scene without those on pixels that hold no data; reads only where labels are."""
    unobserved = np.zeros(labels.classes.shape, bool)
    for rows, cols in _chunks(labels.polygons != UNLABELLED):
        _, valid = source.read(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        unobserved[rows, cols] = ~valid
    return labels.without(unobserved)


def training_normalisation(
    scenes: Sequence[TrainingScene],
    ground: Split | SampleGround,
    band_names: tuple[str, ...],
    rng: np.random.Generator,
) -> Normalisation:
    """Statistics of the bands over the pixels of training ground, labelled or not, around the labels.

    Raises:
        UsageError: the training ground holds no pixel with data, a band is constant.

    """
    chunks = sum(1 for scene in scenes for _ in _chunks(scene.truth(TRAIN) != IGNORED))
    most = min(SAMPLES_PER_CHUNK, max(1, MOST_VALUES // max(chunks * len(band_names), 1)))
    samples = [
        part
        for number, scene in enumerate(scenes)
        if (part := _sampled(number, scene, ground, most, rng)).size
    ]
    if not samples:
        raise UsageError("training ground holds no pixel with data: check nodata and extent of the scenes")
    return Normalisation.of_samples(band_names, samples)


def _sampled(
    number: int, scene: TrainingScene, ground: Split | SampleGround, most: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(pixels, bands) values of one scene, as many at most from each chunk that holds training labels."""
    source = scene.source
    is_training = scene.truth(TRAIN) != IGNORED
    parts = [np.zeros((0, len(source.bands)), np.float32)]
    for rows, cols in _chunks(is_training):
        values, valid = source.read(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        pixel_rows, pixel_cols = np.nonzero(valid)
        if pixel_rows.size > most:
            chosen = rng.choice(pixel_rows.size, most, replace=False)
            pixel_rows, pixel_cols = pixel_rows[chosen], pixel_cols[chosen]
        inside = ground.is_training_ground(
            number, source.grid, pixel_rows + rows.start, pixel_cols + cols.start
        )
        parts.append(values[:, pixel_rows[inside], pixel_cols[inside]].T)
    return np.concatenate(parts)


def _chunks(wanted: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the chunks that hold a wanted pixel of (height, width)."""
    height, width = wanted.shape
    for row in range(0, height, CHUNK_PX):
        for col in range(0, width, CHUNK_PX):
            rows, cols = slice(row, min(row + CHUNK_PX, height)), slice(col, min(col + CHUNK_PX, width))
            if wanted[rows, cols].any():
                yield rows, cols
