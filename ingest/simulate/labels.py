"""Interpreters' labels: outlines of every class drawn in working areas that cover part of the district."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from rasterio import features
from shapely import Polygon
from shapely.geometry import shape as as_geometry

from ingest.simulate.fields import ByteMap, Mask, stream
from ingest.simulate.ground import CLASS_KEYS
from ingest.simulate.layout import Site
from ingest.simulate.swaths import Swath, covered

_LABELLED_SHARE = 0.54
_SMALLEST_PX = 24
_INTERPRETERS = ("李娜", "Wang Qiang", "Aygul Tursun", "张伟")


@dataclass(frozen=True)
class Label:
    """A drawn outline in pixel coordinates (column, row), with who drew it, when and on which acquisition."""

    land_class: str
    outline: Polygon
    interpreter: str
    interpreted_on: date
    swath: Swath


def draw_labels(
    seed: int, class_map: ByteMap, sites: list[Site], swaths: list[Swath], year: int
) -> list[Label]:
    """Labels of one year: exact classes, outlines generalised by about a pixel.

    Where two acquisitions overlap the later one is drawn on; clouds and their shadows are left out.
    """
    shape = class_map.shape[0], class_map.shape[1]
    chosen = _working_areas(seed, shape, sites, year)
    scene = np.zeros(shape, np.uint8)
    clear = np.ones(shape, np.bool_)
    for number, swath in enumerate(swaths, start=1):
        scene[covered(swath.footprint, (0, shape[0]), (0, shape[1]))] = number
        if swath.cloud is not None:
            hidden = [swath.cloud.outline.buffer(3), swath.cloud.shadow_outline.buffer(3)]
            clear &= ~features.rasterize(hidden, out_shape=shape, dtype="uint8").astype(np.bool_)
    coded = (class_map + len(CLASS_KEYS) * scene).astype(np.uint8)
    rng = stream(seed, "interpreters", year)
    labels = []
    for geometry, value in features.shapes(coded, mask=chosen & clear & (scene > 0), connectivity=4):
        number, code = divmod(int(value), len(CLASS_KEYS))
        outline = as_geometry(geometry)
        if outline.area < _SMALLEST_PX:
            continue
        outline = outline.simplify(1.0)
        if outline.is_empty or not outline.is_valid or not isinstance(outline, Polygon):
            continue
        swath = swaths[number - 1]
        drawn_on = swath.acquired_on + timedelta(days=int(rng.integers(20, 60)))
        who = _INTERPRETERS[int(rng.integers(len(_INTERPRETERS)))]
        labels.append(Label(CLASS_KEYS[code], outline, who, drawn_on, swath))
    return labels


def _working_areas(seed: int, shape: tuple[int, int], sites: list[Site], year: int) -> Mask:
    """Pixels of the working areas: a part of every mine's surroundings and of the land between.

    Areas are cells of a jittered lattice; most stay the same from year to year.
    """
    rng = stream(seed, "areas")
    size = float(np.clip(0.45 * sites[0].radius_px, 44, 150))
    down, across = (int(np.ceil(length / size)) for length in shape)
    jitter = rng.uniform(-0.26, 0.26, (down + 1, across + 1, 2)) * size
    jitter[[0, -1], :, 0] = jitter[:, [0, -1], 1] = 0
    corner = (
        np.stack(np.meshgrid(np.arange(down + 1), np.arange(across + 1), indexing="ij"), axis=-1) * size
        + jitter
    )
    middle = (corner[:-1, :-1] + corner[1:, 1:]).reshape(-1, 2) / 2
    distance = np.stack([np.hypot(*(middle - site.centre).T) / site.radius_px for site in sites])
    owner = np.where(distance.min(axis=0) < 1.0, distance.argmin(axis=0), len(sites))
    rank = rng.random(len(middle)) + 0.3 * stream(seed, "areas", year).random(len(middle))
    cells = []
    for group in range(len(sites) + 1):
        members = np.flatnonzero(owner == group)
        taken = members[np.argsort(rank[members])][: int(np.ceil(_LABELLED_SHARE * len(members)))]
        for row, column in zip(*np.divmod(taken, across), strict=True):
            ring = [
                corner[row, column],
                corner[row, column + 1],
                corner[row + 1, column + 1],
                corner[row + 1, column],
            ]
            cells.append(Polygon([(point[1], point[0]) for point in ring]))
    return np.asarray(features.rasterize(cells, out_shape=shape, dtype="uint8"), dtype=np.bool_)
