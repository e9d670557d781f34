"""A class map as runs: what lies between two changes of class along a row.

All work of this package is done on runs, not pixels: a scene needs memory for its boundaries only, and the
map itself (perhaps a memory map on disk) is read once, from top to bottom.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from db.jit import compiled, read_only

NOT_OBSERVED = 255
"""Class code of pixels without an observation; they belong to no patch."""

MAX_INDEX = 2**31 - 1


@dataclass(frozen=True)
class Runs:
    """Runs of equal class in scan order, with the patch each belongs to.

    ``row_offsets (height + 1,)``: runs of row r are ``row_offsets[r]`` to ``row_offsets[r + 1] - 1``.
    ``column (runs,)``: first pixel; a run ends where the next begins or at ``width_px``.
    ``label (runs,)``: patch 1..patch_count in scan order of their first pixels, 0 for not observed.
    ``class_code (patch_count + 1,)`` and ``pixel_count (patch_count + 1,)``: per label; entry 0 is what was
    not observed.
    """

    width_px: int
    row_offsets: npt.NDArray[np.int64]
    column: npt.NDArray[np.int32]
    label: npt.NDArray[np.int32]
    class_code: npt.NDArray[np.uint8]
    pixel_count: npt.NDArray[np.int64]

    @property
    def height_px(self) -> int:
        """Rows of the map."""
        return len(self.row_offsets) - 1

    @property
    def patch_count(self) -> int:
        """Number of 4-connected patches of one class, without what was not observed."""
        return len(self.class_code) - 1


def encode_runs(class_map: npt.NDArray[np.uint8]) -> Runs:
    """Find the runs of a class map ``(height, width)`` and their 4-connected patches.

    Raises ``ValueError`` for anything but a non-empty two-dimensional uint8 map.
    """
    if class_map.dtype != np.uint8 or class_map.ndim != 2 or 0 in class_map.shape:
        raise ValueError(
            f"a class map is a non-empty (height, width) array of uint8, got {class_map.dtype} "
            f"of shape {class_map.shape}"
        )
    pixels = read_only(class_map)
    height_px, width_px = pixels.shape
    row_offsets = np.zeros(height_px + 1, np.int64)
    _count_runs(pixels, row_offsets)
    if row_offsets[-1] > MAX_INDEX:
        raise ValueError(f"the class map has {row_offsets[-1]} runs, more than can be numbered: split it")
    column = np.empty(row_offsets[-1], np.int32)
    run_class = np.empty(row_offsets[-1], np.uint8)
    _fill_runs(pixels, row_offsets, column, run_class)
    label = np.empty(row_offsets[-1], np.int32)
    patch_count = _label_runs(row_offsets, column, run_class, width_px, label)
    class_code = np.full(patch_count + 1, NOT_OBSERVED, np.uint8)
    pixel_count = np.zeros(patch_count + 1, np.int64)
    _count_pixels(row_offsets, column, run_class, label, width_px, class_code, pixel_count)
    return Runs(width_px, row_offsets, column, label, class_code, pixel_count)


def paint_runs(runs: Runs, value: npt.NDArray[np.generic], out: npt.NDArray[np.generic]) -> None:
    """Write ``value[label]`` of each run to its pixels of ``out (height, width)``, perhaps a memory map."""
    _paint_runs(runs.row_offsets, runs.column, runs.label, value, np.asarray(out))


@compiled
def _count_runs(class_map: npt.NDArray[np.uint8], row_offsets: npt.NDArray[np.int64]) -> None:
    height, width = class_map.shape
    for row in range(height):
        runs = 1
        for col in range(1, width):
            runs += class_map[row, col] != class_map[row, col - 1]
        row_offsets[row + 1] = row_offsets[row] + runs


@compiled
def _fill_runs(
    class_map: npt.NDArray[np.uint8],
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    run_class: npt.NDArray[np.uint8],
) -> None:
    height, width = class_map.shape
    for row in range(height):
        run = row_offsets[row]
        column[run] = 0
        run_class[run] = class_map[row, 0]
        for col in range(1, width):
            if class_map[row, col] != class_map[row, col - 1]:
                run += 1
                column[run] = col
                run_class[run] = class_map[row, col]


@compiled
def _label_runs(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    run_class: npt.NDArray[np.uint8],
    width: int,
    label: npt.NDArray[np.int32],
) -> int:
    """Join runs that touch along a pixel edge (union-find in ``label``); number patches by first run."""
    for run in range(len(label)):
        label[run] = run
    for row in range(1, len(row_offsets) - 1):
        run, run_end = row_offsets[row], row_offsets[row + 1]
        above, above_end = row_offsets[row - 1], row_offsets[row]
        while run < run_end and above < above_end:
            end = column[run + 1] if run + 1 < run_end else width
            end_above = column[above + 1] if above + 1 < above_end else width
            if run_class[run] == run_class[above]:
                root, root_above = run, above
                while label[root] != root:
                    label[root] = label[label[root]]
                    root = label[root]
                while label[root_above] != root_above:
                    label[root_above] = label[label[root_above]]
                    root_above = label[root_above]
                # The smaller index stays root, so a root is its patch's first run in scan order.
                if root < root_above:
                    label[root_above] = root
                else:
                    label[root] = root_above
            if end <= end_above:
                run += 1
            if end_above <= end:
                above += 1
    patches = 0
    for run in range(len(label)):
        if run_class[run] == NOT_OBSERVED:
            label[run] = 0
        elif label[run] == run:
            patches += 1
            label[run] = patches
        else:
            # An ancestor comes first and holds its final label by now.
            label[run] = label[label[run]]
    return patches


@compiled
def _count_pixels(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    run_class: npt.NDArray[np.uint8],
    label: npt.NDArray[np.int32],
    width: int,
    class_code: npt.NDArray[np.uint8],
    pixel_count: npt.NDArray[np.int64],
) -> None:
    for row in range(len(row_offsets) - 1):
        for run in range(row_offsets[row], row_offsets[row + 1]):
            end = column[run + 1] if run + 1 < row_offsets[row + 1] else width
            class_code[label[run]] = run_class[run]
            pixel_count[label[run]] += end - column[run]


@compiled
def _paint_runs(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    value: npt.NDArray[np.generic],
    out: npt.NDArray[np.generic],
) -> None:
    for row in range(len(row_offsets) - 1):
        for run in range(row_offsets[row], row_offsets[row + 1]):
            end = column[run + 1] if run + 1 < row_offsets[row + 1] else out.shape[1]
            for col in range(column[run], end):
                out[row, col] = value[label[run]]
