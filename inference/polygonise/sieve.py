"""Small patches dropped: each joins the neighbour it shares most of its outline with."""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

from db.jit import compiled
from inference.polygonise.runs import NOT_OBSERVED, Runs, encode_runs, paint_runs


@dataclass(frozen=True)
class Sieved:
    """A class map without small patches.

    ``class_map (height, width)``; ``merged_patches``: how often a patch was joined to a neighbour;
    ``changed_px``: pixels whose class changed; ``remaining_patches``: patches still below their class's
    minimum, because nothing but what was not observed surrounds them.
    """

    class_map: npt.NDArray[np.uint8]
    merged_patches: int
    changed_px: int
    remaining_patches: int


def sieve(
    class_map: npt.NDArray[np.uint8],
    min_patch_px: Mapping[int, int],
    *,
    out: npt.NDArray[np.uint8] | None = None,
) -> Sieved:
    """Merge patches smaller than their class's minimum into a neighbour, until none is left that has one.

    The smallest patch of the map goes first (of equal ones the first in scan order). It takes the class of
    the neighbour with which it shares most pixel edges (then: the larger one, then the first in scan order),
    becomes part of it, and of every other patch of that class it touches. So the result is defined by the
    whole map alone and does not depend on tiles.

    ``class_map (height, width)`` uint8 with 255 = not observed, which never changes. ``min_patch_px``: class
    code to the least number of pixels of a patch that stays; classes it leaves out keep all their patches.
    ``out`` may be a memory map, or ``class_map`` itself. Raises ``ValueError`` for another type or shape.
    """
    least = np.zeros(256, np.int64)
    for code, pixels in min_patch_px.items():
        if not 0 <= code < NOT_OBSERVED or pixels < 0:
            raise ValueError(
                f"smallest patch of class {code} given as {pixels} px: classes are 0-254, sizes >= 0"
            )
        least[code] = pixels
    if out is None:
        out = np.empty(class_map.shape, np.uint8)
    elif out.shape != class_map.shape or out.dtype != np.uint8:
        raise ValueError(f"the result is uint8 of shape {class_map.shape}, got {out.dtype} of {out.shape}")
    runs = encode_runs(class_map)
    offsets, neighbour, shared_px = _outlines_of_small_patches(runs, least)
    class_code = runs.class_code.copy()
    merged, remaining = _merge(runs.pixel_count.copy(), class_code, least, offsets, neighbour, shared_px)
    changed_px = int(runs.pixel_count[class_code != runs.class_code].sum())
    paint_runs(runs, class_code, out)
    return Sieved(out, merged, changed_px, remaining)


def _outlines_of_small_patches(
    runs: Runs, least: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """List the stretches of outline of each patch that is too small: neighbour's label and length in pixels.

    Stretches of label i are ``offsets[i]`` to ``offsets[i + 1] - 1``; large patches have none.
    """
    is_small = runs.pixel_count < least[runs.class_code]
    is_small[0] = False
    offsets = np.zeros(runs.patch_count + 2, np.int64)
    nothing = np.empty(0, np.int32)
    arrays = (runs.row_offsets, runs.column, runs.label, runs.width_px, is_small)
    _visit_outlines(*arrays, True, offsets, nothing, nothing)
    np.cumsum(offsets, out=offsets)
    neighbour = np.empty(offsets[-1], np.int32)
    shared_px = np.empty(offsets[-1], np.int32)
    _visit_outlines(*arrays, False, offsets, neighbour, shared_px)
    return offsets, neighbour, shared_px


@compiled
def _visit_outlines(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    width: int,
    is_small: npt.NDArray[np.bool_],
    count_only: bool,
    offsets: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    shared_px: npt.NDArray[np.int32],
) -> None:
    """Count stretches into ``offsets[label + 1]``, or write them and leave ``offsets`` as it was."""
    for row in range(len(row_offsets) - 1):
        run, run_end = row_offsets[row], row_offsets[row + 1]
        above = row_offsets[row - 1] if row > 0 else run
        above_end = run
        begin = 0
        while begin < width:
            end = column[run + 1] if run + 1 < run_end else width
            next_begin = end
            # A stretch with the run on the left (once, where this run begins), then one with the run above.
            for side in range(2):
                if side == 0:
                    if begin != column[run] or begin == 0:
                        continue
                    first, length = label[run - 1], 1
                else:
                    if above >= above_end:
                        continue
                    end_above = column[above + 1] if above + 1 < above_end else width
                    next_begin = min(end, end_above)
                    first, length = label[above], next_begin - begin
                second = label[run]
                if first == second or first == 0 or second == 0:
                    continue
                for owner, other in ((first, second), (second, first)):
                    if is_small[owner]:
                        if count_only:
                            offsets[owner + 1] += 1
                        else:
                            neighbour[offsets[owner]] = other
                            shared_px[offsets[owner]] = length
                            offsets[owner] += 1
            if above < above_end and next_begin == end_above:
                above += 1
            if next_begin == end:
                run += 1
            begin = next_begin
    if not count_only:
        for owner in range(len(offsets) - 1, 0, -1):
            offsets[owner] = offsets[owner - 1]
        offsets[0] = 0


@compiled
def _find(parent: npt.NDArray[np.int32], patch: int) -> int:
    while parent[patch] != patch:
        parent[patch] = parent[parent[patch]]
        patch = parent[patch]
    return patch


@compiled
def _merge(
    pixel_count: npt.NDArray[np.int64],
    class_code: npt.NDArray[np.uint8],
    least: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int32],
    shared_px: npt.NDArray[np.int32],
) -> tuple[int, int]:
    """Merge patches, smallest first; ``class_code`` of every label becomes that of what it was merged into.

    A merged patch is a tree of labels (``parent``) whose root is its lowest label, thus the one that a new
    labelling would number first, and a chain of them (``following``), along which its outline is found.
    """
    labels = len(pixel_count)
    parent = np.arange(labels).astype(np.int32)
    following = np.zeros(labels, np.int32)
    chain_end = parent.copy()
    shared = np.zeros(labels, np.int64)
    touched = np.empty(labels, np.int32)
    # Keys sort by size, then by label.
    queue = [np.int64(0) for _ in range(0)]
    for label in range(1, labels):
        if pixel_count[label] < least[class_code[label]]:
            queue.append((pixel_count[label] << 32) | label)  # noqa: PERF401 (numba has no such generators)
    heapify(queue)
    merged, remaining = 0, 0
    while len(queue) > 0:
        key = heappop(queue)
        patch = key & 0xFFFFFFFF
        if parent[patch] != patch or pixel_count[patch] != key >> 32:
            continue  # has been merged since it was queued
        touching = 0
        member = np.int64(patch)
        while member != 0:
            for stretch in range(offsets[member], offsets[member + 1]):
                other = _find(parent, neighbour[stretch])
                if other != patch:
                    if shared[other] == 0:
                        touched[touching] = other
                        touching += 1
                    shared[other] += shared_px[stretch]
            member = following[member]
        if touching == 0:
            remaining += 1
            continue
        best = touched[0]
        for other in touched[1:touching]:
            if shared[other] != shared[best]:
                is_better = shared[other] > shared[best]
            elif pixel_count[other] != pixel_count[best]:
                is_better = pixel_count[other] > pixel_count[best]
            else:
                is_better = other < best
            if is_better:
                best = other
        code = class_code[best]
        root = patch
        for other in touched[:touching]:
            shared[other] = 0
            if class_code[other] == code:
                low, high = min(root, other), max(root, other)
                parent[high] = low
                pixel_count[low] += pixel_count[high]
                following[chain_end[low]] = high
                chain_end[low] = chain_end[high]
                root = low
        class_code[root] = code
        merged += 1
        if pixel_count[root] < least[code]:
            heappush(queue, (pixel_count[root] << 32) | root)
    for label in range(1, labels):
        class_code[label] = class_code[_find(parent, label)]
    return merged, remaining
