"""Training windows, drawn so that every class is seen equally often."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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


@dataclass(frozen=True)
class Place:
    """Where a window lies: the scene, and the row and column of its first pixel there."""

    product: str
    row: int
    col: int

    def __str__(self) -> str:
        return f"scene {self.product}, row {self.row}, col {self.col}"


@dataclass(frozen=True)
class Batch:
    """Windows of one step.

    Attributes:
        pixels: (n, bands, tile_px, tile_px) normalised values.
        labels: (n, tile_px, tile_px) class codes, 255 ignored.
        places: where each of the n lies.

    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.uint8]
    places: tuple[Place, ...]

    def __len__(self) -> int:
        return len(self.places)


class WindowSampler:
    """Draws windows around labelled training pixels, each class equally often.

    Args:
        scenes: with their split; only pixels of the training part are drawn or carry labels.
        codes: the classes to draw.
        normalisation: of the pixels.
        tile_px: edge of the windows.

    """

    def __init__(
        self,
        scenes: Sequence[TrainingScene],
        codes: Sequence[int],
        normalisation: Normalisation,
        tile_px: int,
    ) -> None:
        self._scenes = scenes
        self._normalisation = normalisation
        self._tile_px = tile_px
        self._codes = tuple(codes)
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
        for batch in self.located_batches(count, batch_size, rng):
            yield batch.pixels, batch.labels

    def located_batches(
        self, count: int, batch_size: int, rng: np.random.Generator, repeats: int = 1
    ) -> Iterator[Batch]:
        """Batches that know where their windows lie.

        Args:
            count: batches.
            batch_size: n.
            rng: decides what is drawn.
            repeats: how often each window is given. Batches drawn one after the other are given so often,
                shuffled among each other each time, so that no two steps see the same batch.

        """
        given = 0
        with ThreadPoolExecutor(reading_threads(), "lode-windows") as pool:
            while given < count:
                together = min(repeats, -(-count // repeats))
                drawn = [self._draw_batch(batch_size, rng, pool) for _ in range(together)]
                for batch in _shown(drawn, repeats, rng):
                    if given == count:
                        return
                    given += 1
                    yield batch

    def _draw_batch(self, batch_size: int, rng: np.random.Generator, pool: ThreadPoolExecutor) -> Batch:
        # every class as often as the others, as far as the batch size allows
        order = np.resize(rng.permutation(len(self._codes)), batch_size)
        # all that is random is done here, one after the other; the pool keeps the order
        chosen = [self._choose(int(place), rng) for place in order]
        windows = list(pool.map(self._load, chosen))
        return Batch(
            np.stack([pixels for pixels, _, _ in windows]),
            np.stack([labels for _, labels, _ in windows]),
            tuple(place for _, _, place in windows),
        )

    def met_pixels(self, windows: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(classes,) labelled pixels of each class in as many drawn windows; at least 1 each."""
        counts = np.zeros(256)
        for place in np.resize(np.arange(len(self._codes)), windows):
            number, rows, cols = self._choose(int(place), rng)
            counts += np.bincount(self._truths[number][rows, cols].ravel(), minlength=256)
        return np.maximum(counts[list(self._codes)], 1.0)

    def _load(self, chosen: tuple[int, slice, slice]) -> tuple[NDArray[np.float32], NDArray[np.uint8], Place]:
        number, rows, cols = chosen
        source = self._scenes[number].source
        height, width = rows.stop - rows.start, cols.stop - cols.start
        pixels, _ = source.read_normalised(rows.start, cols.start, height, width, self._normalisation)
        # what is mirrored to fill the window is not labelled twice
        labels = np.full((self._tile_px, self._tile_px), IGNORED, np.uint8)
        labels[:height, :width] = self._truths[number][rows, cols]
        place = Place(self._scenes[number].product, rows.start, cols.start)
        return pad_by_reflection(pixels, self._tile_px, self._tile_px), labels, place

    def _choose(self, code: int, rng: np.random.Generator) -> tuple[int, slice, slice]:
        """A scene, and rows and columns of a window around one of a class's pixels."""
        places = self._places[code]
        sizes = np.array([len(part) for part in places])
        number = int(rng.choice(len(places), p=sizes / sizes.sum()))
        centre = places[number][rng.integers(sizes[number])]
        grid = self._scenes[number].source.grid
        jitter = rng.uniform(-JITTER, JITTER, 2) * self._tile_px
        rows = self._span(centre[0] + jitter[0], grid.height_px)
        return number, rows, self._span(centre[1] + jitter[1], grid.width_px)

    def _span(self, centre: float, size_px: int) -> slice:
        """A window's rows or columns inside the scene; fewer than its edge only where the scene has fewer."""
        first = int(np.clip(round(centre - self._tile_px / 2), 0, max(size_px - self._tile_px, 0)))
        return slice(first, min(first + self._tile_px, size_px))


def reading_threads() -> int:
    """Threads that normalise windows: half of the processors, 8 at most; more would wait for each other."""
    return max(1, min(8, (os.cpu_count() or 1) // 2))


def _shown(drawn: list[Batch], repeats: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Each of the drawn windows as often as told; the first time as they were drawn."""
    yield from drawn
    if repeats == 1:
        return
    pixels, labels = (
        np.concatenate([getattr(batch, part) for batch in drawn]) for part in ("pixels", "labels")
    )
    places = [place for batch in drawn for place in batch.places]
    for _ in range(repeats - 1):
        for chosen in np.array_split(rng.permutation(len(places)), len(drawn)):
            yield Batch(pixels[chosen], labels[chosen], tuple(places[index] for index in chosen))
