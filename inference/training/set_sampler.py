"""Training windows of a sample set, drawn so that every class is seen equally often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.normalisation import Normalisation
from inference.segmentation_model import IGNORED
from inference.training.samples import TrainingScene, WindowSampler


class SetSampler(WindowSampler):
    """Draws the training windows of a sample set as they lie, and no other ground.

    A class is drawn as often as the others; of the windows that hold it one with many labelled pixels of it
    more often, as if one of its pixels were drawn.

    Args:
        scenes: with their split.
        codes: the classes to draw.
        normalisation: of the pixels.
        tile_px: edge of the windows.
        boxes: for each scene its training windows (windows, 4): first row, first column, end row, end column.

    Raises:
        ValueError: a class that no window holds.

    """

    def __init__(
        self,
        scenes: Sequence[TrainingScene],
        codes: Sequence[int],
        normalisation: Normalisation,
        tile_px: int,
        boxes: Sequence[NDArray[np.int64]],
    ) -> None:
        super().__init__(scenes, codes, normalisation, tile_px)
        self._boxes = [
            (number, slice(top, bottom), slice(left, right))
            for number, here in enumerate(boxes)
            for top, left, bottom, right in here.tolist()
        ]
        counts = np.zeros((len(self._boxes), 256), np.int64)
        for place, (number, rows, cols) in enumerate(self._boxes):
            counts[place] = np.bincount(self._truths[number][rows, cols].ravel(), minlength=256)
        counts[:, IGNORED] = 0
        self._sums = counts[:, list(codes)].cumsum(axis=0)
        if not self._boxes or not self._sums[-1].all():
            raise ValueError("a class to draw lies in no training window")

    def _choose(self, code: int, rng: np.random.Generator) -> tuple[int, slice, slice]:
        """A window of the set that holds a class."""
        sums = self._sums[:, code]
        return self._boxes[int(np.searchsorted(sums, rng.integers(sums[-1]), side="right"))]
