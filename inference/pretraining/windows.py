"""Windows of scenes with patches to hide: drawn for training, and a fixed set for validation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from inference.pretraining.ground import PretrainingGround
from inference.pretraining.masks import hidden_patches
from inference.pretraining.settings import PretrainingSettings
from inference.training.samples import reading_threads

MOST_VALIDATION_WINDOWS = 64
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class MaskedBatch:
    """Windows of one step.

    Attributes:
        pixels: (n, bands, tile_px, tile_px) normalised values, 0 where nothing was observed.
        hidden: (n, tile_px, tile_px), true where the network must not see them.
        counted: (n, tile_px, tile_px), true where the loss is taken: hidden, and with data.

    """

    pixels: NDArray[np.float32]
    hidden: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def training_batches(
    ground: PretrainingGround, settings: PretrainingSettings, count: int, rng: np.random.Generator
) -> Iterator[MaskedBatch]:
    """Windows around pixels with data, everywhere as often; turned by quarters and mirrored.

    Held-out blocks are no data here, neither to see nor to predict.

    Args:
        ground: where.
        settings: batch size, patches.
        count: batches.
        rng: decides everything.

    """
    places = [
        (number, int(row), int(col))
        for number, scene in enumerate(ground.scenes)
        for row, col in scene.corners
    ]
    pixels = np.concatenate([scene.training_px for scene in ground.scenes]).astype(np.float64)
    shares = pixels / pixels.sum()
    edge = ground.tile_px
    with ThreadPoolExecutor(reading_threads(), "lode-windows") as pool:
        for _ in range(count):
            drawn = rng.choice(len(places), settings.batch_size, p=shares)
            moved = rng.integers(-edge // 2, edge // 2 + 1, (settings.batch_size, 2))
            turns = rng.integers(0, 8, settings.batch_size)
            hidden = _hidden(settings, edge, settings.batch_size, rng)
            chosen = [
                (places[place][0], places[place][1] + int(down), places[place][2] + int(right))
                for place, (down, right) in zip(drawn, moved, strict=True)
            ]
            windows = list(pool.map(lambda each: _read(ground, *each), chosen))
            values = np.stack([_turned(each, turn) for (each, _), turn in zip(windows, turns, strict=True)])
            valid = np.stack([_turned(each, turn) for (_, each), turn in zip(windows, turns, strict=True)])
            yield MaskedBatch(values, hidden, hidden & valid)


def validation_batches(ground: PretrainingGround, settings: PretrainingSettings) -> list[MaskedBatch]:
    """The same windows with the same hidden patches each time; only held-out ground is counted.

    What surrounds a held-out block in its window is visible, but was not hidden to be predicted.
    """
    rng = np.random.default_rng((settings.seed, 1))
    places = [
        (number, int(row), int(col))
        for number, scene in enumerate(ground.scenes)
        for (row, col), count in zip(scene.corners, scene.validation_px, strict=True)
        if count
    ]
    if len(places) > MOST_VALIDATION_WINDOWS:
        places = [places[place] for place in rng.permutation(len(places))[:MOST_VALIDATION_WINDOWS]]
    batches = []
    for first in range(0, len(places), settings.batch_size):
        here = places[first : first + settings.batch_size]
        hidden = _hidden(settings, ground.tile_px, len(here), rng)
        windows = [_read(ground, *each, is_training=False) for each in here]
        trained = np.stack([_read(ground, *each)[1] for each in here])
        valid = np.stack([each for _, each in windows])
        batches.append(
            MaskedBatch(np.stack([each for each, _ in windows]), hidden, hidden & valid & ~trained)
        )
    return batches


def _hidden(
    settings: PretrainingSettings, tile_px: int, windows: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    return hidden_patches(
        rng, windows, tile_px, settings.patch_px, settings.least_hidden, settings.most_hidden
    )


def _read(
    ground: PretrainingGround, number: int, row: int, col: int, *, is_training: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A window (bands, tile_px, tile_px) moved inside its scene, and what was observed of it."""
    scene, edge = ground.scenes[number], ground.tile_px
    source = scene.training if is_training else scene.whole
    height_px, width_px = source.grid.height_px, source.grid.width_px
    top = min(max(row, 0), max(height_px - edge, 0))
    left = min(max(col, 0), max(width_px - edge, 0))
    height, width = min(edge, height_px - top), min(edge, width_px - left)
    values, valid = source.read_normalised(top, left, height, width, ground.normalisation)
    # a scene smaller than the window is no mirror of itself here: a hidden pixel would show in its mirror
    missing = ((0, edge - height), (0, edge - width))
    return np.pad(values, ((0, 0), *missing)), np.pad(valid, missing)


def _turned(window: NDArray[Scalar], turn: int) -> NDArray[Scalar]:
    """One of the eight ways to turn and mirror (..., h, w)."""
    turned = np.rot90(window, int(turn) % 4, axes=(-2, -1))
    return turned[..., ::-1] if turn >= 4 else turned
