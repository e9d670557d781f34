"""Terrain: a landscape that rivers have cut, from mountains on one side to a plain on the other.

The coarse landscape solves the stream-power law dh/dt = U - K A^m |grad h| implicitly along the drainage
tree (Braun and Willett 2013, Geomorphology 180-181), level by level instead of node by node.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ingest.simulate.fields import (
    FloatMap,
    fractal_noise,
    knots_for,
    smooth_noise,
    smoothstep,
    spline_surface,
    stream,
)

IndexMap = NDArray[np.int64]
_NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
_COARSE_STEPS = 60
_FINE_STEPS = 20
_COARSE_CELLS = 160_000


@dataclass(frozen=True)
class Terrain:
    """Land before anyone dug.

    Heights are in metres, (height, width) at 2 m pixels. The coarse grid's node (i, j) lies at pixel
    ((i - 1) * cell_px, (j - 1) * cell_px); `receiver` is the flat index each node drains into (itself at an
    outlet), `drained_cells` how many nodes drain through it. `wash` is where water gathers after rain
    (height, width), from 0 on ridges to about 1 in valleys.
    """

    height_m: FloatMap
    plain: FloatMap
    cell_px: int
    coarse_m: FloatMap
    receiver: IndexMap
    drained_cells: NDArray[np.float64]
    wash: FloatMap


def make_terrain(seed: int, shape: tuple[int, int], resolution_m: float) -> Terrain:
    """Terrain of a district of `shape` (height, width) pixels; the plain lies along the southern edge."""
    cell_px = max(5, int(np.ceil(np.sqrt(shape[0] * shape[1] / _COARSE_CELLS))))
    coarse_shape = (knots_for(shape[0], cell_px), knots_for(shape[1], cell_px))
    rng = stream(seed, "terrain")
    south = np.linspace(0.0, 1.0, coarse_shape[0], dtype=np.float32)[:, None]
    wander = 0.13 * smooth_noise(rng, coarse_shape, coarse_shape[1] / 2.5)
    plain = smoothstep(south + wander, 0.42, 0.86)
    uplift = (1.0 - 0.88 * plain) * (1.0 + 0.25 * smooth_noise(rng, coarse_shape, coarse_shape[1] / 4))
    coarse_m = _erode(rng, np.clip(uplift, 0.05, None).astype(np.float32))
    relief_m = 0.125 * resolution_m * float(np.hypot(*shape)) ** 0.9
    coarse_m *= np.float32(relief_m / np.percentile(coarse_m, 99.5))
    receiver = _flood_receivers(coarse_m)
    drained = _accumulate(receiver)
    wash = np.log(drained).reshape(coarse_shape) / np.log(0.02 * drained.size)
    height_m = spline_surface(coarse_m, shape, cell_px)
    plain_px = spline_surface(plain, shape, cell_px)
    rough = fractal_noise(rng, shape, 4.0 * cell_px, 4, 0.55)
    height_m += rough * (2.0 - 1.5 * plain_px)
    return Terrain(
        height_m=height_m + np.float32(900.0),
        plain=plain_px,
        cell_px=cell_px,
        coarse_m=coarse_m,
        receiver=receiver,
        drained_cells=drained,
        wash=np.clip(spline_surface(wash.astype(np.float32), shape, cell_px), 0, None),
    )


def slope(height_m: FloatMap, resolution_m: float) -> FloatMap:
    """Tangent of the slope (metres per metre), broad forms only (about 12 pixels)."""
    smooth = ndimage.gaussian_filter(height_m, 4.0)
    down, right = np.gradient(smooth, np.float32(resolution_m))
    return np.asarray(np.hypot(down, right), dtype=np.float32)


def _erode(rng: np.random.Generator, uplift: FloatMap) -> FloatMap:
    """Landscape (arbitrary units) under uplift and river erosion; the southern row is the base level.

    A grid four times coarser settles the main valleys first, then the full grid cuts the gullies.
    """
    shape = uplift.shape
    small = (knots_for(shape[0], 4.0), knots_for(shape[1], 4.0))
    ramp = np.linspace(1.0, 0.0, small[0], dtype=np.float32)[:, None]
    start = 0.6 * ramp + 0.35 * fractal_noise(rng, small, small[1] / 4, 5, 0.65)
    coarse = _cut(rng, start, ndimage.zoom(uplift, np.divide(small, shape), order=1), _COARSE_STEPS, 3)
    fine = spline_surface(coarse, shape, 4.0)
    fine += np.float32(0.035 * fine.std()) * fractal_noise(rng, shape, 6, 3, 0.8)
    return _cut(rng, fine, uplift, _FINE_STEPS, 5)


def _cut(
    rng: np.random.Generator, start: FloatMap, uplift: FloatMap, steps: int, flood_every: int
) -> FloatMap:
    """Landscape after `steps` of uplift and erosion; hollows overflow at every `flood_every`-th step."""
    shape = start.shape
    height = (start - start.min()).astype(np.float64)
    erodible = np.exp(0.45 * smooth_noise(rng, shape, 6)).astype(np.float64).ravel()
    scale = 80.0 / shape[0]
    for step in range(steps):
        height += uplift * scale * 0.1
        height[-1] = 0.0
        if step % flood_every == 0:
            receiver = _flood_receivers(height)
            distance = np.ones(height.size)
        else:
            receiver, distance = _steepest(height)
        area = _accumulate(receiver)
        factor = 0.5 * scale * erodible * np.sqrt(area) / distance
        flat = height.ravel()
        for level in _levels(receiver)[1:]:
            below = flat[receiver[level]]
            flat[level] = (flat[level] + factor[level] * below) / (1.0 + factor[level])
        height = ndimage.gaussian_filter(flat.reshape(shape), 0.4)
    return np.asarray(height, dtype=np.float32)


def _steepest(height: NDArray[np.float64]) -> tuple[IndexMap, NDArray[np.float64]]:
    """Flat index of the steepest lower neighbour of every node (itself in a hollow), and its distance."""
    rows, columns = height.shape
    padded = np.pad(height, 1, constant_values=np.inf)
    index = np.arange(height.size, dtype=np.int64).reshape(height.shape)
    best = np.zeros(height.shape)
    receiver = index.copy()
    distance = np.ones(height.shape)
    for down, right in _NEIGHBOURS:
        length = float(np.hypot(down, right))
        fall = (height - padded[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]) / length
        better = fall > best
        best[better] = fall[better]
        receiver[better] = index[better] + down * columns + right
        distance[better] = length
    return receiver.ravel(), distance.ravel()


def _levels(receiver: IndexMap) -> list[IndexMap]:
    """Nodes grouped by the count of steps to their outlet, outlets first."""
    index = np.arange(receiver.size)
    steps = (receiver != index).astype(np.int64)
    jump = receiver.copy()
    while True:
        further = steps[jump]
        if not further.any():
            break
        steps = steps + further
        jump = jump[jump]
    order = np.argsort(steps, kind="stable")
    return list(np.split(order, np.searchsorted(steps[order], np.arange(1, int(steps.max()) + 1))))


def _accumulate(receiver: IndexMap) -> NDArray[np.float64]:
    """Count of nodes that drain through each node, itself included."""
    drained = np.ones(receiver.size)
    for level in reversed(_levels(receiver)[1:]):
        np.add.at(drained, receiver[level], drained[level])
    return drained


def _flood_receivers(height: NDArray[np.floating]) -> IndexMap:
    """Receiver of every node when hollows overflow (priority flood from the southern edge inwards).

    Source: Barnes, Lehman and Mulla 2014, Computers & Geosciences 62.
    """
    rows, columns = height.shape
    level = height.ravel().tolist()
    receiver = list(range(rows * columns))
    seen: list[bool] = [False] * (rows * columns)
    heap: list[tuple[float, int]] = []
    for column in range(columns):
        node = (rows - 1) * columns + column
        seen[node] = True
        heap.append((level[node], node))
    heapq.heapify(heap)
    while heap:
        spill, node = heapq.heappop(heap)
        row, column = divmod(node, columns)
        for down, right in _NEIGHBOURS:
            next_row, next_column = row + down, column + right
            if 0 <= next_row < rows and 0 <= next_column < columns:
                other = next_row * columns + next_column
                if not seen[other]:
                    seen[other] = True
                    receiver[other] = node
                    heapq.heappush(heap, (max(spill, level[other]), other))
    return np.asarray(receiver, dtype=np.int64)
