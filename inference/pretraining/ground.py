"""The ground of a pretraining: which blocks are held out, what the bands are like, where pixels have data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.normalisation import Normalisation
from inference.pretraining.blocks import Outline, blocks_outline, pixel_keys, without_ground
from inference.scene_source import SceneSource
from inference.training.blocks import BlockGrid, block_place, default_edge_m
from inference.training.statistics import MOST_VALUES, SAMPLES_PER_CHUNK

HELD_OUT_SHARE = 0.1
"""Of the blocks, for the validation loss."""
FEWEST_BLOCKS = 12
"""Blocks that are smaller than a window are laid only where there would be fewer than this."""


@dataclass(frozen=True)
class PretrainingScene:
    """A scene, and where in it windows can be drawn.

    Attributes:
        product: its name.
        whole: its pixels; ground that was left out counts as not observed.
        training: the same without the held-out blocks.
        corners: (cells, 2) row and column of the first pixel of each cell, a lattice as wide as a window.
        training_px: (cells,) pixels with data for training.
        validation_px: (cells,) pixels with data in held-out blocks.

    """

    product: str
    whole: SceneSource
    training: SceneSource
    corners: NDArray[np.int64]
    training_px: NDArray[np.int64]
    validation_px: NDArray[np.int64]


@dataclass(frozen=True)
class PretrainingGround:
    """All scenes of a pretraining.

    Attributes:
        scenes: with their pixels.
        tile_px: edge of the windows.
        normalisation: statistics of training pixels.
        grid: of the blocks.
        blocks: number of blocks with data.
        held_out: keys of those that the validation loss is taken on.

    """

    scenes: tuple[PretrainingScene, ...]
    tile_px: int
    normalisation: Normalisation
    grid: BlockGrid
    blocks: int
    held_out: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """For the file: CRS, edge and ``[col, row]`` of the held-out blocks."""
        places = [list(block_place(key)) for key in self.held_out]
        return {"srid": self.grid.srid, "edge_m": self.grid.edge_m, "held_out": places, "blocks": self.blocks}


@dataclass
class _Survey:
    """What one reading of a scene told."""

    corners: list[tuple[int, int]] = field(default_factory=list)
    counts: list[dict[int, int]] = field(default_factory=list)
    values: list[NDArray[np.float32]] = field(default_factory=list)
    keys: list[NDArray[np.int64]] = field(default_factory=list)


def pretraining_ground(
    sources: Sequence[SceneSource],
    band_names: tuple[str, ...],
    tile_px: int,
    *,
    block_m: float | None = None,
    left_out: Iterable[Outline] = (),
    seed: int,
) -> PretrainingGround:
    """Read every scene once, hold out some blocks of ground, and take statistics of the rest.

    Blocks are the same ground in all scenes, so that no other year of a held-out block is learned from.

    Args:
        sources: the scenes; no labels.
        band_names: names of their bands.
        tile_px: edge of the windows.
        block_m: edge of the blocks, m; None: by extent, and not smaller than a window where there is room.
        left_out: ground that is not to be seen at all.
        seed: decides which blocks are held out.

    Raises:
        UsageError: fewer than two blocks hold data, a band is constant.

    """
    hidden = list(left_out)
    wholes = [without_ground(source, hidden) for source in sources]
    grid = BlockGrid(sources[0].grid.srid, block_m or _edge_m(sources, tile_px))
    rng = np.random.default_rng((seed, 0))
    cells = sum(
        (-(-source.grid.height_px // tile_px)) * (-(-source.grid.width_px // tile_px)) for source in sources
    )
    most = max(1, min(SAMPLES_PER_CHUNK, MOST_VALUES // max(cells * len(band_names), 1)))
    surveys = [_surveyed(source, grid, tile_px, most, rng) for source in wholes]
    held_out = _held_out(surveys, grid, rng)
    outline = blocks_outline(grid, held_out)
    scenes = tuple(
        PretrainingScene(
            source.name,
            source,
            without_ground(source, [outline]),
            np.array(survey.corners, np.int64).reshape(-1, 2),
            np.array([_pixels(each, held_out, is_held_out=False) for each in survey.counts], np.int64),
            np.array([_pixels(each, held_out, is_held_out=True) for each in survey.counts], np.int64),
        )
        for source, survey in zip(wholes, surveys, strict=True)
    )
    samples = [
        values[~np.isin(np.concatenate(survey.keys), list(held_out))]
        for survey in surveys
        if survey.values and (values := np.concatenate(survey.values)).size
    ]
    samples = [values for values in samples if values.size]
    blocks = len({key for survey in surveys for each in survey.counts for key in each})
    return PretrainingGround(
        scenes, tile_px, Normalisation.of_samples(band_names, samples), grid, blocks, tuple(sorted(held_out))
    )


def _edge_m(sources: Sequence[SceneSource], tile_px: int) -> float:
    resolution_m = sources[0].grid.resolution_x
    extent_m2 = max(
        source.grid.height_px * source.grid.width_px * source.grid.resolution_x * source.grid.resolution_y
        for source in sources
    )
    edge_m, window_m = default_edge_m(extent_m2, resolution_m), tile_px * resolution_m
    return max(edge_m, window_m) if extent_m2 >= FEWEST_BLOCKS * window_m**2 else edge_m


def _surveyed(
    source: SceneSource, grid: BlockGrid, tile_px: int, most: int, rng: np.random.Generator
) -> _Survey:
    found = _Survey()
    height_px, width_px = source.grid.height_px, source.grid.width_px
    for row in range(0, height_px, tile_px):
        for col in range(0, width_px, tile_px):
            height, width = min(tile_px, height_px - row), min(tile_px, width_px - col)
            values, valid = source.read(row, col, height, width)
            if not valid.any():
                continue
            here = pixel_keys(source, grid, row, col, (height, width))[valid]
            keys, counts = np.unique(here, return_counts=True)
            found.corners.append((row, col))
            found.counts.append(dict(zip(keys.tolist(), counts.tolist(), strict=True)))
            chosen = rng.choice(here.size, min(most, here.size), replace=False)
            found.values.append(values[:, valid][:, chosen].T)
            found.keys.append(here[chosen])
    return found


def _held_out(surveys: Sequence[_Survey], grid: BlockGrid, rng: np.random.Generator) -> frozenset[int]:
    total: dict[int, int] = {}
    for survey in surveys:
        for each in survey.counts:
            for key, count in each.items():
                total[key] = total.get(key, 0) + count
    if len(total) < 2:
        raise UsageError(
            f"{len(total)} blocks of {grid.edge_m:g} m hold pixels with data, and one must be held out: "
            "bring larger scenes, check their nodata, or choose a smaller --block-m"
        )
    # slivers at the edge of a scene would tell little
    large = [key for key in sorted(total) if total[key] >= max(total.values()) / 2]
    wanted = max(1, round(HELD_OUT_SHARE * len(total)))
    order = [large[place] for place in rng.permutation(len(large))]
    return frozenset(order[: min(wanted, len(total) - 1)])


def _pixels(counts: dict[int, int], held_out: frozenset[int], *, is_held_out: bool) -> int:
    return sum(count for key, count in counts.items() if (key in held_out) == is_held_out)
