"""Sliding-window prediction of a scene: read -> normalise -> network -> blend, in strips from the top."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.device import BatchRunner
from inference.normalisation import Normalisation
from inference.prefetch import prefetched
from inference.scene_source import SceneSource
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.windows import StripBlender, Window, WindowPlan, pad_by_reflection

PROBABILITY_STEPS = 200
"""Stored probability = round(probability * 200); 255 is nodata."""
BATCH_PX = 16 * 128 * 128
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PredictedStrip:
    """Finished rows of a prediction.

    Attributes:
        row: first row in the scene.
        class_map: (rows, width) uint8 class codes, 255 where not observed.
        probabilities: (classes, rows, width) uint8, probability * 200 of every class of the model, 255
            where not observed; None when they were not asked for.

    """

    row: int
    class_map: NDArray[np.uint8]
    probabilities: NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Band:
    """Input of one band of windows: (bands, tile_px, padded width), valid and wanted (tile_px, width)."""

    number: int
    pixels: NDArray[np.float32]
    valid: NDArray[np.bool_]


def default_overlap_px(tile_px: int) -> int:
    """A quarter of the window: seams fade over 32 px of 128, for 1.8 times the work of none."""
    return tile_px // 4


def default_batch_size(tile_px: int, device: torch.device) -> int:
    """Windows at once: sixteen of 128 px on a CPU, sixteen times that on a GPU."""
    factor = 16 if device.type == "cuda" else 1
    return max(1, BATCH_PX * factor // tile_px**2)


def predict_scene(
    source: SceneSource,
    model: SegmentationModel,
    *,
    overlap_px: int | None = None,
    batch_size: int | None = None,
    rows: tuple[int, int] | None = None,
    needed: NDArray[np.bool_] | None = None,
    with_probabilities: bool = True,
    progress: Progress | None = None,
) -> Generator[PredictedStrip]:
    """Classify a scene or some rows of it; the whole scene is never in memory.

    Windows without an observed pixel are skipped. When the device's memory runs out the batch is halved. The
    source is read in a thread of its own: until the iterator ends or is closed nobody else may use the
    connection its reader works on.

    Some rows alone get the answers they have in the whole scene: their windows are those of the whole scene,
    blended in the same way. Batches are composed of other windows then, and with that a network's arithmetic
    may differ in the last digit.

    Args:
        source: the scene in the model's bands, see `choose_bands`.
        model: the network.
        overlap_px: pixels shared by neighbouring windows; None: a quarter of the window.
        batch_size: windows at once; None: by window size and device.
        rows: first row and end of the rows that are wanted; None: all of the scene.
        needed: (height, width) of the whole scene; windows that touch no needed pixel are skipped, and what
            the strips say outside of it is not to be used. None: all of the scene.
        with_probabilities: whether strips carry probabilities.
        progress: called after each batch and each band of windows, with windows done and windows in all. What
            it raises ends the prediction.

    Yields:
        Strips that cover the wanted rows once, from the top.

    Raises:
        UsageError: no such rows, or not enough memory for a single window.

    """
    grid = source.grid
    overlap = default_overlap_px(model.tile_px) if overlap_px is None else overlap_px
    plan = WindowPlan(grid.height_px, grid.width_px, model.tile_px, overlap)
    runner = BatchRunner(model.probabilities, batch_size or default_batch_size(model.tile_px, model.device))
    first, end = (0, plan.height_px) if rows is None else rows
    numbers = plan.bands_touching(first, end)
    blender = StripBlender(plan, len(model.mapped_codes), model.device, (first, end))
    valid_rows = _RowQueue(plan.rows[numbers.start], plan.width_px)
    in_all = len(numbers) * len(plan.cols)
    pending: list[tuple[Window, NDArray[np.float32]]] = []
    done = 0

    def flush() -> None:
        nonlocal done
        if pending:
            tiles = torch.from_numpy(np.stack([pixels for _, pixels in pending])).to(model.device)
            for (window, _), values in zip(pending, runner(tiles), strict=True):
                blender.add(window, values)
        done += len(pending)
        pending.clear()
        if progress is not None:
            progress(done, in_all)

    with prefetched(_read_bands(source, plan, numbers, model.normalisation, needed)) as bands:
        for band in bands:
            valid_rows.append(plan.rows[band.number], band.valid)
            for window in _windows_of(plan, band.number):
                if _is_needed(window, plan, band.valid, needed):
                    pending.append((window, _cut(band.pixels, window, plan.tile_px)))
                else:
                    blender.skip(window)
                    done += 1
                if len(pending) >= runner.batch_size:
                    flush()
            if band.number == numbers[-1]:
                flush()
            elif progress is not None:  # also where nothing is observed and no batch comes about
                progress(done, in_all)
            taken = blender.take()
            if taken is not None:
                yield _strip(taken, valid_rows, model, with_probabilities)


def _read_bands(
    source: SceneSource,
    plan: WindowPlan,
    numbers: range,
    normalisation: Normalisation,
    needed: NDArray[np.bool_] | None,
) -> Iterator[_Band]:
    """These bands of windows from the top; rows shared with the band above are not read again.

    A band without a needed pixel is not read, and counts as not observed.
    """
    tile_px = plan.tile_px
    pixels: NDArray[np.float32] | None = None
    valid: NDArray[np.bool_] | None = None
    end = 0  # rows read so far
    for number in numbers:
        row = plan.rows[number]
        if needed is not None and not needed[row : row + tile_px].any():
            pixels, valid, end = None, None, row + tile_px
            height, width = min(tile_px, plan.height_px), plan.width_px
            nothing = np.zeros((len(source.bands), tile_px, max(width, tile_px)), np.float32)
            yield _Band(number, nothing, np.zeros((height, width), bool))
            continue
        if pixels is None:
            end = row
        fresh_end = min(row + tile_px, plan.height_px)
        fresh, fresh_valid = source.read_normalised(end, 0, fresh_end - end, plan.width_px, normalisation)
        if pixels is not None and valid is not None:
            shared = end - row
            fresh = np.concatenate((pixels[:, tile_px - shared :], fresh), axis=1)
            fresh_valid = np.concatenate((valid[tile_px - shared :], fresh_valid))
        pixels, valid, end = fresh, fresh_valid, fresh_end
        # padded last: a band below continues the scene, not its mirror image
        yield _Band(number, pad_by_reflection(pixels, tile_px, tile_px), valid)


def _windows_of(plan: WindowPlan, band: int) -> list[Window]:
    return [Window(band, slot, plan.rows[band], col) for slot, col in enumerate(plan.cols)]


def _is_needed(
    window: Window, plan: WindowPlan, valid: NDArray[np.bool_], needed: NDArray[np.bool_] | None
) -> bool:
    cols = slice(window.col, window.col + plan.tile_px)
    inside = valid[:, cols]
    if needed is not None:
        inside = inside & needed[window.row : window.row + plan.tile_px, cols]
    return bool(inside.any())


def _cut(pixels: NDArray[np.float32], window: Window, tile_px: int) -> NDArray[np.float32]:
    return pixels[:, :, window.col : window.col + tile_px]


class _RowQueue:
    """The observed pixels of rows that were read and not yet handed out."""

    def __init__(self, top: int, width_px: int) -> None:
        self._top = top
        self._rows = np.zeros((0, width_px), bool)

    def append(self, row: int, valid: NDArray[np.bool_]) -> None:
        """Add the rows of a band that starts at ``row``; those known already are left out."""
        known = self._top + self._rows.shape[0] - row
        self._rows = np.concatenate((self._rows, valid[known:]))

    def take(self, row: int, count: int) -> NDArray[np.bool_]:
        """``count`` rows from ``row`` on; those above are dropped."""
        first, end = row - self._top, row - self._top + count
        taken, self._rows = self._rows[first:end], self._rows[end:]
        self._top += end
        return taken


def _strip(
    taken: tuple[int, Tensor], valid_rows: _RowQueue, model: SegmentationModel, with_probabilities: bool
) -> PredictedStrip:
    row, sums = taken
    valid = valid_rows.take(row, sums.shape[1])
    codes = torch.tensor(model.mapped_codes, dtype=torch.uint8, device=sums.device)
    class_map = codes[sums.argmax(dim=0)].cpu().numpy()
    class_map[~valid] = IGNORED
    probabilities = None
    if with_probabilities:
        probabilities = _quantised(sums, model.mapped_outputs, len(model.class_codes))
        probabilities[:, ~valid] = IGNORED
    return PredictedStrip(row, class_map, probabilities)


def _quantised(sums: Tensor, places: Sequence[int], classes: int) -> NDArray[np.uint8]:
    """Probabilities (mapped, rows, width) as steps of 1/200 at their places among all classes."""
    steps = (sums * PROBABILITY_STEPS).round_().clamp_(0, PROBABILITY_STEPS).to(torch.uint8).cpu().numpy()
    everything = np.zeros((classes, *steps.shape[1:]), np.uint8)
    everything[list(places)] = steps
    return everything
