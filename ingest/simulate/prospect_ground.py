"""Ground of a district with pegmatites in cells of 10 m: which minerals and plants show, and where."""

from collections.abc import Mapping, Sequence

import numpy as np
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from ingest.simulate.ahsi_camera import CELL_M
from ingest.simulate.fields import FloatMap, fractal_noise, smoothstep, stream
from ingest.simulate.mineral_spectra import PEGMATITE_GROUND
from ingest.simulate.prospect_dykes import Dyke
from ingest.simulate.prospect_geology import ProspectGeology

LEAST_COVER, LARGEST_COVER = 0.40, 0.85
"""Share of a dyke's ground that soil and plants hide."""

SCREE_M = 50.0
"""The share of a dyke's debris in the ground beside it falls to 1/e at such distances."""
SCREE_SHARE = 0.6
"""Debris right beside a dyke, of the share of it that is not covered there."""

_SCREE_REACH = 4.0
_UNIT_CELLS = 80.0
_VEIN_CELLS = 10.0
_LARGEST_SHARE = 0.75
_LEAST_PLANTS = 0.05
_CONTACT_CELLS = 8.0
_KINDS = tuple(PEGMATITE_GROUND)


def prospect_ground(
    key: tuple[int, str, int],
    height_m: FloatMap,
    shore_m: float,
    mix: Mapping[str, float],
    geology: ProspectGeology,
    dykes: Sequence[Dyke],
    origin_m: tuple[float, float],
) -> FloatMap:
    """Shares of each kind of ``PEGMATITE_GROUND`` (kinds, rows, columns); they add up to 1.

    Args:
        key: seed, name and number of the district's random streams.
        height_m: terrain (rows, columns).
        shore_m: ground below this height lies under water.
        mix: threshold of each kind of ground, in deviations of its own field: the lower, the more of it.
        geology: its plutons show as granite.
        dykes: what shows of them is their share that is not covered.
        origin_m: upper left corner, EPSG:32645.

    """
    shape = height_m.shape[0], height_m.shape[1]
    transform = Affine(CELL_M, 0.0, origin_m[0], 0.0, -CELL_M, origin_m[1])
    shares = np.zeros((len(_KINDS), *shape), np.float32)
    left = np.ones(shape, np.float32)
    _take(shares, left, "water", smoothstep(np.float32(shore_m) - height_m, 0.0, 4.0))
    plants = _exposed(key, "vegetation", shape, mix["vegetation"])
    _take(shares, left, "vegetation", _LEAST_PLANTS + (1 - _LEAST_PLANTS) * plants)
    inside = _burnt([(each.outline, 1.0) for each in geology.plutons], shape, transform)
    rock = ndimage.gaussian_filter(inside, _CONTACT_CELLS)
    _take(shares, left, "granite", rock * (0.3 + _exposed(key, "granite", shape, -0.5) / 2))
    _take(shares, left, "barren_pegmatite", _exposed(key, "veins", shape, 1.9, _VEIN_CELLS))
    for kind in mix:
        if kind != "vegetation":
            _take(shares, left, kind, _exposed(key, kind, shape, mix[kind]))
    shares[_KINDS.index("soil")] = left
    _lay_bare(key, shares, dykes, transform)
    return shares


def _exposed(
    key: tuple[int, str, int],
    kind: str,
    shape: tuple[int, int],
    threshold: float,
    patch_cells: float = _UNIT_CELLS,
) -> FloatMap:
    """Share of ground that shows a kind, in patches of such a size."""
    field = fractal_noise(stream(*key, kind), shape, patch_cells, 6, 0.6)
    return np.float32(_LARGEST_SHARE) * smoothstep(field, threshold, threshold + 0.9)


def _take(shares: FloatMap, left: FloatMap, kind: str, part: FloatMap) -> None:
    """Give a kind a part of what is left, in place."""
    share = part * left
    shares[_KINDS.index(kind)] += share
    left -= share


def _lay_bare(key: tuple[int, str, int], shares: FloatMap, dykes: Sequence[Dyke], transform: Affine) -> None:
    """Let the dykes' own rock show where nothing covers it, and their debris round them, in place.

    Frost, water and slope spread boulders and grit of a dyke over the ground beside it; that, and not the
    dyke alone, is what a buffer round mapped ore takes in.
    """
    shape = shares.shape[1], shares.shape[2]
    uneven = np.float32(0.08) * fractal_noise(stream(*key, "cover"), shape, 9.0, 3)
    for mineral in sorted({dyke.mineral for dyke in dykes}):
        bodies = [(dyke.outline, dyke.cover) for dyke in dykes if dyke.mineral == mineral]
        cover = _burnt(bodies, shape, transform)
        away_m, nearest = ndimage.distance_transform_edt(cover == 0, sampling=CELL_M, return_indices=True)
        scree = SCREE_SHARE * np.exp(-away_m / SCREE_M)
        scree[away_m > _SCREE_REACH * SCREE_M] = 0
        scree[cover > 0] = 1
        bare = (1 - np.clip(cover[tuple(nearest)] + uneven, LEAST_COVER, LARGEST_COVER)) * scree
        bare = bare.astype(np.float32)
        shares *= 1 - bare
        shares[_KINDS.index(f"{mineral}_pegmatite")] += bare


def _burnt(
    shapes: Sequence[tuple[BaseGeometry, float]], shape: tuple[int, int], transform: Affine
) -> FloatMap:
    """Values of shapes in the cells whose middle lies in them, 0 elsewhere."""
    if not shapes:
        return np.zeros(shape, np.float32)
    return np.asarray(rasterize(shapes, shape, transform=transform, dtype="float32"), dtype=np.float32)
