"""Whether a network can take a scene: asked before anything is computed."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from psycopg import Connection
from psycopg.rows import TupleRow
from pyproj import Transformer

from db.errors import UsageError
from db.scenes import Scene, open_scene
from inference.scene_source import SceneSource, choose_bands
from inference.segmentation_model import SegmentationModel

RESOLUTION_TOLERANCE = 0.25
MEDIAN_LIMIT_STD = 6.0
SUSPICIOUS_SHARE = 0.3
SAMPLES_ACROSS, SAMPLE_PX = 5, 64
FEWEST_PIXELS = 500
"""Below this many observed pixels in the sample nothing is concluded from their values."""


def open_source(conn: Connection[TupleRow], scene: Scene, model: SegmentationModel) -> SceneSource:
    """The scene as the network takes it, after all checks.

    Args:
        conn: connection that the pixels will be read on; nobody else may use it while a prediction runs.
        scene: the scene.
        model: the network.

    Raises:
        UsageError: bands are missing, resolution or processing level differ, the values do not look like
            those of the training scenes.

    """
    check_scene(scene, model)
    source = source_of(conn, scene, model.band_names)
    check_values(source, model)
    return source


def source_of(conn: Connection[TupleRow], scene: Scene, band_names: tuple[str, ...]) -> SceneSource:
    """The scene's pixels in the order of ``band_names``.

    Raises:
        UsageError: bands are missing.

    """
    bands = choose_bands(scene.product, scene.band_names, band_names)
    clouded = None
    if scene.clouded is not None:
        to_grid = Transformer.from_crs(4326, scene.grid.srid, always_xy=True)
        clouded = shapely.transform(scene.clouded, lambda xy: np.column_stack(to_grid.transform(*xy.T)))
    return SceneSource(
        scene.product, open_scene(conn, scene), bands, scene.value_offset, scene.value_scale, clouded
    )


def check_scene(scene: Scene, model: SegmentationModel) -> None:
    """Compare the catalogue's row of a scene with what the network was trained on.

    Raises:
        UsageError: bands are missing, the resolution differs by more than a quarter, or the values have
            another unit.

    """
    choose_bands(scene.product, scene.band_names, model.band_names)
    for resolution_m in (scene.grid.resolution_x, scene.grid.resolution_y):
        if not within_tolerance(resolution_m, model.resolution_m):
            raise UsageError(
                f"scene {scene.product} has pixels of {resolution_m:g} m, model {model.name} was trained on "
                f"{model.resolution_m:g} m: use a model of that resolution, or warp the scene"
            )
    if scene.processing_level != model.processing_level:
        raise UsageError(
            f"scene {scene.product} holds {scene.processing_level}, model {model.name} was trained on "
            f"{model.processing_level}: bring the scene to that level, or train on scenes like it"
        )


def within_tolerance(resolution_m: float, reference_m: float) -> bool:
    """Whether two pixel sizes are near enough for one network: a quarter more or less."""
    return abs(math.log(resolution_m / reference_m)) <= math.log(1 + RESOLUTION_TOLERANCE)


def check_values(source: SceneSource, model: SegmentationModel) -> None:
    """Compare a sample of the values with those of the training scenes.

    Three signs that offset, scale or unit are not what the catalogue says: the medians of all bands lie more
    than six standard deviations from the training mean; in three bands of ten even the darkest twentieth is
    brighter than half of every training scene; or in as many, half of the scene is darker than the darkest
    twentieth of any. The offset of +1000 that Sentinel-2 carries since 2022 shifts medians by one or two
    standard deviations only, but gives the second sign, and taken out twice the third. Such a scene would be
    classified without complaint and wrongly, so it is refused. Percentiles stay clear of 1 %, because real
    scenes hold some pixels without data that nothing marks.

    Raises:
        UsageError: one of these, or a band that has one value everywhere.

    """
    values = _sample(source)
    if values.shape[0] < FEWEST_PIXELS:
        return
    normalisation = model.normalisation
    low, median = np.quantile(values, (0.05, 0.5), axis=0)
    for name, band in zip(normalisation.band_names, values.T, strict=True):
        if band.min() == band.max():
            raise UsageError(
                f"band {name} of scene {source.name} has the value {band[0]:g} everywhere: check the file"
            )
    distance = np.abs(median - np.array(normalisation.means)) / np.array(normalisation.stds)
    few = max(min(2, median.size), math.ceil(SUSPICIOUS_SHARE * median.size))
    reason = None
    if (distance > MEDIAN_LIMIT_STD).all():
        reason = "all medians are far off: another scale or unit?"
    elif (low > np.array(normalisation.medians)[:, 1]).sum() >= few:
        reason = "even dark pixels are bright: was an offset forgotten (--offset -1000 for Sentinel-2)?"
    elif (median < np.array(normalisation.darkest)).sum() >= few:
        reason = "half of it is darker than any dark pixel there: was an offset taken out twice?"
    if reason is not None:
        raise UsageError(_unlike(source, model, median, reason))


def _unlike(source: SceneSource, model: SegmentationModel, median: NDArray[np.float64], reason: str) -> str:
    figures = "; ".join(
        f"{name} {value:.4g} (training {low:.4g} to {high:.4g})"
        for name, value, (low, high) in zip(
            model.band_names, median, model.normalisation.medians, strict=True
        )
    )
    return (
        f"the values of scene {source.name} are unlike those model {model.name} was trained on: {reason} "
        f"Medians: {figures}. Bring it in again with the right --offset and --scale, or train on its like"
    )


def _sample(source: SceneSource) -> NDArray[np.float32]:
    """(pixels, bands) observed values from windows spread evenly over the scene."""
    grid = source.grid
    height, width = min(SAMPLE_PX, grid.height_px), min(SAMPLE_PX, grid.width_px)
    parts = []
    for row in _spread(grid.height_px - height):
        for col in _spread(grid.width_px - width):
            values, valid = source.read(row, col, height, width)
            parts.append(values[:, valid].T)
    return np.concatenate(parts)


def _spread(last: int) -> list[int]:
    """First pixels of the sample's windows along one axis."""
    return sorted({round(last * place / (SAMPLES_ACROSS - 1)) for place in range(SAMPLES_ACROSS)})
