"""What masks of overlapping scenes say of the ground they share: contradictions.py MASK.tif ...

Where one mask calls a pixel tailings and another calls the same ground background, no answer that hangs on
the ground alone agrees with both. The highest IoU such an answer can reach is printed for each group of
overlapping masks and for all together. It calls tailings what is so in at least a share of the masks that see
it; the best such share is taken, for of two places the one more often called tailings gains more and loses
less.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

Counts = tuple[NDArray[np.int64], NDArray[np.int64]]


def main(paths: list[str]) -> None:
    """Print a line for each group, and one for all."""
    masks = {path: read(path) for path in paths}
    everything: list[Counts] = []
    for group in overlapping(masks):
        tailings, seen = counted([masks[path] for path in group])
        is_ever = tailings > 0
        shared = is_ever & (seen > 1)
        contradicted = shared & (tailings < seen)
        names = ", ".join(Path(path).stem for path in group)
        print(
            f"{names}: {is_ever.sum():,} px of ground called tailings, {shared.sum():,} of it seen by "
            f"another mask too, {contradicted.sum():,} called background there; IoU at most "
            f"{highest_iou(tailings[is_ever], seen[is_ever]):.3f}"
        )
        everything.append((tailings[is_ever], seen[is_ever]))
    tailings, seen = (np.concatenate(each) for each in zip(*everything, strict=True))
    print(f"all: IoU at most {highest_iou(tailings, seen):.3f}")


def read(path: str) -> tuple[NDArray[np.bool_], rasterio.Affine]:
    """A mask and its transform."""
    with rasterio.open(path) as source:
        return source.read(1) == 1, source.transform


def box(mask: tuple[NDArray[np.bool_], rasterio.Affine], east: float, north: float) -> tuple[int, int]:
    """Row and column of a mask's first pixel, in whole pixels from a place."""
    _, place = mask
    return round((north - place.f) / -place.e), round((place.c - east) / place.a)


def overlapping(masks: dict[str, tuple[NDArray[np.bool_], rasterio.Affine]]) -> list[list[str]]:
    """Masks that overlap, directly or over others."""
    groups: list[list[str]] = []
    for path in masks:
        joined = [group for group in groups if any(overlap(masks[path], masks[other]) for other in group)]
        apart = [group for group in groups if group not in joined]
        groups = [*apart, [*itertools.chain.from_iterable(joined), path]]
    return groups


def overlap(
    a: tuple[NDArray[np.bool_], rasterio.Affine], b: tuple[NDArray[np.bool_], rasterio.Affine]
) -> bool:
    """Whether two masks share pixels."""
    row, col = box(b, a[1].c, a[1].f)
    (height, width), (other_height, other_width) = a[0].shape, b[0].shape
    return -other_height < row < height and -other_width < col < width


def counted(masks: list[tuple[NDArray[np.bool_], rasterio.Affine]]) -> Counts:
    """How many masks call each pixel of the ground tailings, and how many see it."""
    west, north = min(place.c for _, place in masks), max(place.f for _, place in masks)
    corners = [box(mask, west, north) for mask in masks]
    height = max(row + mask.shape[0] for (row, _), (mask, _) in zip(corners, masks, strict=True))
    width = max(col + mask.shape[1] for (_, col), (mask, _) in zip(corners, masks, strict=True))
    tailings, seen = np.zeros((height, width), np.int64), np.zeros((height, width), np.int64)
    for (row, col), (mask, _) in zip(corners, masks, strict=True):
        area = slice(row, row + mask.shape[0]), slice(col, col + mask.shape[1])
        tailings[area] += mask
        seen[area] += 1
    return tailings, seen


def highest_iou(tailings: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    """The highest IoU of an answer that is the same in all masks."""
    best = 0.0
    for share in np.unique(tailings / seen):
        called = tailings / seen >= share
        hits, false = tailings[called].sum(), (seen - tailings)[called].sum()
        best = max(best, float(hits / (tailings.sum() + false)))
    return best


if __name__ == "__main__":
    main(sys.argv[1:])
