"""Rivers and gullies along the drainage of the terrain."""

from dataclasses import dataclass

import numpy as np
from rasterio import features
from scipy import ndimage
from shapely import LineString, unary_union
from shapely.geometry.base import BaseGeometry

from ingest.simulate.fields import FloatMap, Mask, coarse_distance, stream
from ingest.simulate.terrain import Terrain


@dataclass(frozen=True)
class Rivers:
    """Channels of the district, (height, width) masks and distances in pixels."""

    water: Mask
    bed: Mask
    gully: Mask
    distance_px: FloatMap


def make_rivers(seed: int, terrain: Terrain) -> Rivers:
    """Rivers where most land drains through, widening downstream; gullies where less does."""
    shape = terrain.height_m.shape[0], terrain.height_m.shape[1]
    rng = stream(seed, "rivers")
    total = terrain.drained_cells.size
    scale = float(np.clip(np.sqrt(shape[0] * shape[1]) / 1400, 0.55, 1.8))
    count = max(2, round(shape[1] / 900))
    courses = _trace(terrain, threshold=0.05 * total / (count / 2), keep=count + 1)
    water: list[BaseGeometry] = []
    bed: list[BaseGeometry] = []
    for course, drained in courses:
        if np.hypot(*np.diff(course, axis=0).T).sum() < 0.3 * min(shape):
            continue  # a stub of a tributary would look like a moat
        points = _meander(rng, _smooth(course, 5.0), 5.0 * scale)
        share = np.sqrt(np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(drained)), drained))
        taper = np.minimum(1.0, 0.25 + np.arange(len(points)) / (0.25 * len(points)))
        half = scale * (1.2 + 4.6 * share / np.sqrt(0.5 * total)) * taper
        swell = 1.0 + 0.25 * ndimage.gaussian_filter1d(rng.standard_normal(len(points)), 6) * 4
        water += _ribbon(points, half * np.clip(swell, 0.7, 1.5))
        side = _meander(rng, points, 3.5 * scale)
        bed += _ribbon(side, half * 2.1 + 1.5)
    gullies = [
        LineString(_smooth(course, 2.0)).buffer(0.8)
        for course, _ in _trace(terrain, threshold=max(0.0006 * total, 45.0), keep=100_000)
        if len(course) > 3
    ]
    water_mask = _burn(water, shape)
    return Rivers(
        water=water_mask,
        bed=_burn(bed, shape),
        gully=_burn(gullies, shape),
        distance_px=coarse_distance(water_mask),
    )


def _trace(terrain: Terrain, *, threshold: float, keep: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Courses with more drained nodes than `threshold`, from head to mouth or to a course traced before.

    Returns:
        For each, points (n, 2) as (column, row) in pixels, and drained nodes (n,); the longest first.

    """
    receiver, drained = terrain.receiver, terrain.drained_cells
    channel = drained > threshold
    fed = np.zeros(channel.size, np.bool_)
    index = np.arange(channel.size)
    flows = channel & (receiver != index)
    fed[receiver[flows]] = True
    heads = np.flatnonzero(channel & ~fed)
    taken = np.zeros(channel.size, np.bool_)
    columns = terrain.coarse_m.shape[1]
    lengths = _steps_to_mouth(receiver, heads)
    found = []
    for head in heads[np.argsort(-lengths, kind="stable")].tolist():
        nodes = [head]
        while not taken[nodes[-1]] and receiver[nodes[-1]] != nodes[-1]:
            taken[nodes[-1]] = True
            nodes.append(int(receiver[nodes[-1]]))
        if len(nodes) < 3:
            continue
        rows, cols = np.divmod(np.asarray(nodes), columns)
        points = np.stack([cols - 1.0, rows - 1.0], axis=1) * terrain.cell_px
        found.append((points, drained[nodes]))
        if len(found) == keep:
            break
    return found


def _steps_to_mouth(receiver: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Count of nodes between each head and its outlet."""
    steps = np.zeros(len(heads), np.int64)
    node = heads.copy()
    while True:
        below = receiver[node]
        moving = below != node
        if not moving.any():
            return steps
        steps += moving
        node = below


def _smooth(points: np.ndarray, sigma: float) -> np.ndarray:
    """Course without the stair of the coarse grid; ends stay where they are."""
    if len(points) < 4:
        return points
    fine = np.stack(
        [np.interp(np.arange(0, len(points) - 0.99, 0.5), np.arange(len(points)), c) for c in points.T],
        axis=1,
    )
    smooth = ndimage.gaussian_filter1d(fine, min(sigma, len(fine) / 6), axis=0, mode="nearest")
    smooth[0], smooth[-1] = points[0], points[-1]
    return np.asarray(smooth)


def _meander(rng: np.random.Generator, points: np.ndarray, reach_px: float) -> np.ndarray:
    """Course pushed sideways by smooth noise of about `reach_px` pixels."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal((len(points), 2)), 4.0, axis=0)
    fade = np.minimum(1.0, np.minimum(np.arange(len(points)), np.arange(len(points))[::-1]) / 6.0)
    return np.asarray(points + noise * 3.7 * reach_px * 0.6 * fade[:, None])


def _ribbon(points: np.ndarray, half_width_px: np.ndarray) -> list[BaseGeometry]:
    """Band of changing width along a course, as overlapping pieces."""
    return [
        LineString(points[i : i + 2]).buffer(float(half_width_px[i : i + 2].mean()))
        for i in range(len(points) - 1)
    ]


def _burn(shapes: list[BaseGeometry], shape: tuple[int, int]) -> Mask:
    """Pixels whose centre lies in any of the shapes (pixel coordinates)."""
    if not shapes:
        return np.zeros(shape, np.bool_)
    burnt = features.rasterize([unary_union(shapes)], out_shape=shape, dtype="uint8")
    return np.asarray(burnt, dtype=np.bool_)
