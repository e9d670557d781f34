"""A scene a network was not made for is refused before anything is computed."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
import shapely

from db.errors import UsageError
from db.raster import Grid
from db.scenes import Acquisition, Scene
from inference.normalisation import Normalisation
from inference.scene_checks import check_scene, check_values
from tests.unit.segmentation_models import PixelNetwork, model_of, source_of_pixels


def scene(
    bands: tuple[str, ...] = ("b1", "b2", "b3"), resolution_m: float = 2.0, level: str = "digital_number"
) -> Scene:
    grid = Grid(32645, 500_000.0, 4_860_000.0, resolution_m, resolution_m, 100, 100)
    return Scene(
        1, "drawn", 1, "gf2_pms", date(2023, 7, 1), grid, bands, "16BUI", 0.0, 0.0, 1.0, level, 1.0, "", "",
        "scene_1", 256, None, (), shapely.MultiPolygon(), None, None, None, Acquisition(), (), {},
    )  # fmt: skip


def test_a_scene_like_the_training_scenes_is_taken() -> None:
    check_scene(scene(("b3", "b1", "b2", "b4"), resolution_m=2.4), model_of(PixelNetwork()))


@pytest.mark.parametrize(
    ("unlike", "message"),
    [
        (scene(bands=("b1", "b3")), "lacks the bands b2; it has b1, b3"),
        (scene(resolution_m=2.6), "pixels of 2.6 m, model drawn was trained on 2 m"),
        (scene(resolution_m=1.5), "pixels of 1.5 m"),
        (scene(level="surface_reflectance"), "holds surface_reflectance"),
    ],
)
def test_another_kind_of_scene_is_refused(unlike: Scene, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_scene(unlike, model_of(PixelNetwork()))


def values(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(500, 100, (3, 100, 100)).astype(np.float32)


NORMALISATION = Normalisation(
    ("b1", "b2", "b3"), (500.0,) * 3, (100.0,) * 3, ((480.0, 520.0),) * 3, (330.0,) * 3
)
MODEL = model_of(PixelNetwork(), normalisation=NORMALISATION)


def test_other_light_and_a_little_haze_are_no_reason_to_refuse() -> None:
    for changed in (values(), values() * 0.8, values() * 0.7 + 200):
        check_values(source_of_pixels(changed), MODEL)


@pytest.mark.parametrize(
    ("gain", "offset", "message"),
    [
        (1.0, 1000.0, "all medians are far off"),
        (1e-4, 0.0, "taken out twice|all medians"),
        (1.0, 400.0, "was an offset forgotten"),
        (1.0, -400.0, "taken out twice"),
    ],
)
def test_values_of_another_scale_or_offset_are_refused(gain: float, offset: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_values(source_of_pixels(values() * gain + np.float32(offset)), MODEL)


def test_a_constant_band_is_refused() -> None:
    pixels = values()
    pixels[1] = 500
    with pytest.raises(UsageError, match="band b2 of scene drawn has the value 500 everywhere"):
        check_values(source_of_pixels(pixels), MODEL)


def test_nothing_is_concluded_from_a_scene_without_data() -> None:
    check_values(source_of_pixels(np.zeros((3, 100, 100), np.uint16), nodata=0), MODEL)
