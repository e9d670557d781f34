"""Roads between mines, villages and the district's edge, laid where slopes and rivers cost least."""

import numpy as np
from rasterio import features
from scipy import ndimage
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist
from shapely import LineString
from skimage.graph import route_through_array

from ingest.simulate.fields import FloatMap, Mask, stream
from ingest.simulate.ground import BACKGROUND, Ground
from ingest.simulate.layout import Site, Village
from ingest.simulate.materials import Material
from ingest.simulate.rivers import Rivers

_CELL_PX = 8


def pave_roads(
    seed: int, ground: Ground, slope: FloatMap, rivers: Rivers, sites: list[Site], villages: list[Village]
) -> None:
    """Paint a network that joins every mine and village, and leads out at the west and east edge."""
    shape = ground.shape
    rng = stream(seed, "roads")
    gates = [site.place((1.02, 0.12)) for site in sites]
    ends = [village.centre for village in villages]
    west, east = min(gates + ends, key=lambda p: p[1]), max(gates + ends, key=lambda p: p[1])
    stops = np.array(gates + ends)
    links = minimum_spanning_tree(cdist(stops, stops)).tocoo()
    pairs = [(tuple(stops[i]), tuple(stops[j])) for i, j in zip(links.row, links.col, strict=True)]
    pairs += [((west[0] * 0.9, 0.0), west), (east, (east[0] * 1.05, shape[1] - 1.0))]
    cost = _cost(slope, rivers, sites)
    paved = [LineString(_route(cost, start, end)) for start, end in pairs]
    tracks = []
    for _ in range(2 * len(sites)):
        start = rng.uniform((0, 0), shape)
        end = start + rng.normal(0, 0.22 * max(shape), 2)
        tracks.append(LineString(_route(cost, tuple(start), tuple(np.clip(end, 0, np.array(shape) - 1)))))
    _paint(ground, _burn(tracks, 1.0, shape) & ~rivers.water, Material.DIRT_ROAD)
    _paint(ground, _burn(paved, 3.0, shape), Material.DIRT_ROAD)
    _paint(ground, _burn(paved, 1.9, shape), Material.ASPHALT)


def _cost(slope: FloatMap, rivers: Rivers, sites: list[Site]) -> np.ndarray:
    """Cost of crossing each coarse cell: slopes, rivers and mines are dear."""
    cost = (
        1.0
        + 60.0 * slope[::_CELL_PX, ::_CELL_PX] ** 2
        + 9.0 * (rivers.distance_px[::_CELL_PX, ::_CELL_PX] < 12)
    )
    rows = np.arange(cost.shape[0])[:, None] * _CELL_PX
    columns = np.arange(cost.shape[1])[None, :] * _CELL_PX
    for site in sites:
        reach = 0.95 * site.radius_px
        row0, column0 = (max(0, int((c - reach) / _CELL_PX)) for c in site.centre)
        row1, column1 = (int((c + reach) / _CELL_PX) + 1 for c in site.centre)
        window = (slice(row0, row1), slice(column0, column1))
        near = np.hypot(rows[window[0]] - site.centre[0], columns[:, window[1]] - site.centre[1]) < reach
        cost[window][near] += 6.0
    return np.asarray(cost, dtype=np.float64)


def _route(cost: np.ndarray, start: tuple[float, ...], end: tuple[float, ...]) -> np.ndarray:
    """Cheapest way between two pixels (row, column) as smooth points (n, 2) of (column, row)."""
    cells = np.clip(np.array([start, end]) / _CELL_PX, 0, np.array(cost.shape) - 1).astype(int)
    margin = 12 + int(0.4 * np.abs(cells[0] - cells[1]).max())
    low = np.maximum(cells.min(axis=0) - margin, 0)
    high = np.minimum(cells.max(axis=0) + margin + 1, cost.shape)
    part = cost[low[0] : high[0], low[1] : high[1]]
    way, _ = route_through_array(  # type: ignore[no-untyped-call]
        part, cells[0] - low, cells[1] - low, fully_connected=True, geometric=True
    )
    points = (np.array(way) + low + 0.5) * _CELL_PX
    if len(points) < 2:
        points = np.array([start, end])
    fine = np.stack(
        [
            np.interp(np.linspace(0, len(points) - 1, 3 * len(points)), np.arange(len(points)), c)
            for c in points.T
        ]
    )
    smooth = ndimage.gaussian_filter1d(fine, min(9.0, fine.shape[1] / 8), axis=1, mode="nearest")
    smooth[:, 0], smooth[:, -1] = fine[:, 0], fine[:, -1]
    return np.asarray(smooth[::-1].T)


def _burn(lines: list[LineString], half_width_px: float, shape: tuple[int, int]) -> Mask:
    """Pixels whose centre lies within `half_width_px` of a line."""
    ribbons = [line.buffer(half_width_px) for line in lines]
    return np.asarray(features.rasterize(ribbons, out_shape=shape, dtype="uint8"), dtype=np.bool_)


def _paint(ground: Ground, mask: Mask, material: Material) -> None:
    """Make a road of the pixels of a mask."""
    ground.put(mask, land_class=BACKGROUND, material=material)


def haul_roads(
    rng: np.random.Generator, site: Site, stops: list[tuple[float, float]], window: tuple[slice, slice]
) -> Mask:
    """Roads inside a mine from its first square to every other stop, as a mask of the window."""
    rows, columns = window
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    lines = []
    start = np.array(stops[0])
    for stop in stops[1:]:
        end = np.array(stop)
        bend = (start + end) / 2 + rng.normal(0, 0.08 * site.radius_px, 2)
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        lines.append(LineString((curve - (rows.start, columns.start))[:, ::-1]))
    return _burn(lines, float(np.clip(0.014 * site.radius_px, 1.5, 3.4)), shape)
