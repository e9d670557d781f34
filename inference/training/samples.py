"""Training windows, drawn so that every class is seen equally often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.normalisation import Normalisation
from inference.scene_source import SceneSource
from inference.segmentation_model import IGNORED
from inference.training.blocks import TRAIN, LabelledPixels
from inference.windows import pad_by_reflection

JITTER = 0.35
"""The labelled pixel lies at most this share of the window's edge from its centre."""


@dataclass(frozen=True)
class TrainingScene:
    """A scene with its labels and what part each labelled pixel plays.

    Attributes:
        source: pixels, in the model's bands.
        product: name in the catalogue.
        labelled: the labelled pixels.
        parts: (pixels,) part of each of them, 255 where not used.

    """

    source: SceneSource
    product: str
    labelled: LabelledPixels
    parts: NDArray[np.uint8]

    def truth(self, part: int) -> NDArray[np.uint8]:
        """(height, width) class codes of the labelled pixels of one part, 255 elsewhere."""
        grid = self.source.grid
        truth = np.full((grid.height_px, grid.width_px), IGNORED, np.uint8)
        chosen = self.parts == part
        truth[self.labelled.rows[chosen], self.labelled.cols[chosen]] = self.labelled.classes[chosen]
        return truth


class WindowSampler:
    """Draws windows around labelled training pixels, each class equally often.

    Args:
        scenes: with their split; only pixels of the training part are drawn or carry labels.
        codes: the classes to draw.
        normalisation: of the pixels.
        tile_px: edge of the windows.

    """

    def __init__(
        self, scenes: Sequence[TrainingScene], codes: Sequence[int], normalisation: Normalisation, tile_px: int
    ) -> None:
        self._scenes = scenes
        self._normalisation = normalisation
        self._tile_px = tile_px
        self._truths = [scene.truth(TRAIN) for scene in scenes]
        self._places = [self._places_of(code) for code in codes]

    def _places_of(self, code: int) -> list[NDArray[np.int64]]:
        """For each scene the training pixels of a class, as (pixels, 2) rows and columns."""
        places = []
        for scene in self._scenes:
            chosen = (scene.parts == TRAIN) & (scene.labelled.classes == code)
            places.append(np.column_stack((scene.labelled.rows[chosen], scene.labelled.cols[chosen])))
        return places

    def batches(
        self, count: int, batch_size: int, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
        """Batches of pixels (n, bands, tile_px, tile_px) and labels (n, tile_px, tile_px).

        Args:
            count: batches.
            batch_size: n.
            rng: decides what is drawn.

        """
        classes = len(self._places)
        for _ in range(count):
            # every class as often as the others, as far as the batch size allows
            order = np.resize(rng.permutation(classes), batch_size)
            windows = [self._draw(self._places[place], rng) for place in order]
            yield np.stack([pixels for pixels, _ in windows]), np.stack([labels for _, labels in windows])

    def _draw(
        self, places: list[NDArray[np.int64]], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        sizes = np.array([len(part) for part in places])
        number = int(rng.choice(len(places), p=sizes / sizes.sum()))
        row, col = places[number][rng.integers(sizes[number])]
        grid = self._scenes[number].source.grid
        jitter = rng.uniform(-JITTER, JITTER, 2) * self._tile_px
        top = self._first(row + jitter[0], grid.height_px)
        left = self._first(col + jitter[1], grid.width_px)
        return self._cut(number, top, left)

    def _first(self, centre: float, size_px: int) -> int:
        return int(np.clip(round(centre - self._tile_px / 2), 0, max(size_px - self._tile_px, 0)))

    def _cut(self, number: int, top: int, left: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        tile_px = self._tile_px
        truth = self._truths[number][top : top + tile_px, left : left + tile_px]
        height, width = truth.shape
        source = self._scenes[number].source
        pixels, _ = source.read_normalised(top, left, height, width, self._normalisation)
        labels = np.full((tile_px, tile_px), IGNORED, np.uint8)
        labels[:height, :width] = truth  # what was mirrored to fill the window is not labelled twice
        return pad_by_reflection(pixels, tile_px, tile_px), labels
