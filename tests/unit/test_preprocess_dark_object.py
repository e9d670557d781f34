"""Dark-object subtraction recovers the path reflectance of a simple air that was planted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from db.errors import UsageError
from db.scenes import Acquisition
from ingest.preprocess.calibration import LinearCalibration
from ingest.preprocess.dark_object import fit_dark_object
from ingest.processing.atmosphere import find_atmosphere
from ingest.processing.material import Material
from ingest.processing.treatment import Treatment
from ingest.products.product import Band

CENTER_NM = np.array([485.0, 555.0, 660.0, 830.0])
PATH = 0.08 * (CENTER_NM / 485.0) ** -2.0
SUN_DEG = 50.0


def ground(height: int = 200, width: int = 200) -> Any:
    """Reflectance 0.05 to 0.5 with a lake of one per cent."""
    rng = np.random.default_rng(1)
    image = rng.uniform(0.05, 0.5, (4, height, width))
    image[:, : height // 10, : width // 10] = 0.01
    return image


def seen(surface: Any, transmittance: float = 1.0, path: Any = PATH) -> Any:
    return (path[:, None, None] + transmittance * surface).astype(np.float32)


def test_dos_recovers_the_planted_path() -> None:
    surface = ground()
    dark = fit_dark_object(seen(surface), sun_elevation_deg=None, method="dos", center_nm=CENTER_NM)
    np.testing.assert_allclose(dark.path, PATH, atol=0.003)
    np.testing.assert_allclose(dark.apply(seen(surface)), surface, atol=0.003)
    assert dark.as_json()["path_reflectance"] == pytest.approx(PATH.tolist(), abs=0.003)
    assert dark.as_json()["transmittance"] == 1.0


def test_cost_also_divides_by_the_cosine_of_the_zenith_angle() -> None:
    surface = ground()
    transmittance = math.cos(math.radians(90 - SUN_DEG))
    image = seen(surface, transmittance)
    dark = fit_dark_object(image, sun_elevation_deg=SUN_DEG, method="cost", center_nm=CENTER_NM)
    np.testing.assert_allclose(dark.path, PATH, atol=0.003)
    np.testing.assert_allclose(dark.apply(image), surface, atol=0.004)


def test_bands_in_any_order_give_the_same() -> None:
    image, order = seen(ground()), [2, 0, 3, 1]
    dark = fit_dark_object(image, sun_elevation_deg=None, method="dos", center_nm=CENTER_NM)
    mixed = fit_dark_object(image[order], sun_elevation_deg=None, method="dos", center_nm=CENTER_NM[order])
    np.testing.assert_allclose(mixed.path, dark.path[order])


def test_without_dark_ground_the_near_infrared_is_held_to_the_shorter_bands() -> None:
    surface = ground()
    surface[3] = np.maximum(surface[3], 0.3)
    image = seen(surface)
    free = fit_dark_object(image, sun_elevation_deg=None, method="dos")
    held = fit_dark_object(image, sun_elevation_deg=None, method="dos", center_nm=CENTER_NM)
    assert free.path[3] > 0.3
    assert held.path[3] <= held.path[0] * (485 / 830) ** 0.5 + 1e-6
    np.testing.assert_allclose(held.path[:3], PATH[:3], atol=0.003)


def test_one_band_too_dark_does_not_hold_all_that_follow() -> None:
    center = np.arange(400.0, 1000.0, 20.0)
    path = 0.1 * (center / 400) ** -1.5
    surface = np.random.default_rng(3).uniform(0.05, 0.5, (len(center), 60, 60))
    surface[:, :20, :20] = 0.01
    image = (path[:, None, None] + surface).astype(np.float32)
    image[0] = np.random.default_rng(4).uniform(0.0, 0.5, image[0].shape)
    image[9, :5, :10] = 0.02
    dark = fit_dark_object(image, sun_elevation_deg=None, method="dos", center_nm=center)
    np.testing.assert_allclose(np.delete(dark.path, [0, 9]), np.delete(path, [0, 9]), atol=0.003)


def test_a_few_defective_pixels_and_missing_ones_change_nothing() -> None:
    surface = ground()
    image = seen(surface)
    image[:, 100, 100:105] = 0.0
    image[:, 50:100] = np.nan
    dark = fit_dark_object(image, sun_elevation_deg=None, method="dos", center_nm=CENTER_NM)
    np.testing.assert_allclose(dark.path, PATH, atol=0.003)
    assert np.isnan(dark.apply(image)[:, 50:100]).all()


def test_a_path_is_never_negative_and_a_band_without_data_passes() -> None:
    image = seen(ground(), path=np.zeros(4)) * np.float32(0.5)
    image[1] = np.nan
    dark = fit_dark_object(image, sun_elevation_deg=None, method="dos", center_nm=CENTER_NM)
    assert dark.path.tolist() == [0.0] * 4


@pytest.mark.parametrize("image", [np.full((4, 50, 50), np.nan), np.full((4, 1, 1), 0.2)])
def test_too_few_clear_pixels_are_refused(image: Any) -> None:
    with pytest.raises(UsageError, match="clear pixels"):
        fit_dark_object(image.astype(np.float32), sun_elevation_deg=40.0, method="cost", center_nm=CENTER_NM)


def test_cost_needs_the_sun_and_methods_are_two() -> None:
    with pytest.raises(UsageError, match="sun's elevation"):
        fit_dark_object(seen(ground()), sun_elevation_deg=None, method="cost", center_nm=CENTER_NM)
    with pytest.raises(ValueError, match="dos or cost"):
        fit_dark_object(seen(ground()), sun_elevation_deg=None, method="flaash", center_nm=CENTER_NM)
    with pytest.raises(ValueError, match="does not fit"):
        fit_dark_object(seen(ground()), sun_elevation_deg=None, method="dos", center_nm=CENTER_NM[:3])


def material_of(centers: Any, sun_elevation_deg: float | None, fault: str | None = None) -> Material:
    """A material of which only facts are asked."""
    source: Any = None
    return Material(
        name="scene",
        bands=[Band(str(i), center_nm=nm, fault=fault if i == 0 else None) for i, nm in enumerate(centers)],
        source=source,
        moved=lambda _row, _col: (source, None),
        calibration=LinearCalibration(np.ones(len(centers)), np.zeros(len(centers))),
        level="toa_reflectance",
        masks=(),
        acquisition=Acquisition(sun_elevation_deg=sun_elevation_deg),
        as_delivered=None,
        panchromatic=None,
        steps=(),
        block_rows=64,
    )


def test_a_scenes_atmosphere_is_found_and_described() -> None:
    surface = ground()
    transmittance = math.sin(math.radians(SUN_DEG))
    image = seen(surface, transmittance)
    material = material_of(CENTER_NM.tolist(), SUN_DEG)
    function, step = find_atmosphere(material, Treatment(atmosphere="cost"), image)
    np.testing.assert_allclose(function(image), surface, atol=0.004)
    assert step["step"] == "atmosphere"
    assert step["method"] == "cost"
    assert step["transmittance"] == pytest.approx(transmittance)


def test_a_faulty_band_sets_no_limit_for_the_others() -> None:
    image = seen(ground())
    image[0, 50:, :] = 0.012
    material = material_of(CENTER_NM.tolist(), None, fault="dead")
    function, _step = find_atmosphere(material, Treatment(atmosphere="dark-object"), image)
    np.testing.assert_allclose(function(image)[1:], ground()[1:], atol=0.003)


@pytest.mark.parametrize(
    ("method", "centers", "sun", "message"),
    [
        ("cost", CENTER_NM.tolist(), None, "scene: --atmosphere cost needs the sun's elevation"),
        ("quac", [485.0, None, 660.0, 830.0], 40.0, "scene: --atmosphere quac needs the wavelengths"),
        ("6s", CENTER_NM.tolist(), 40.0, "scene: 6S needs the time"),
        ("flaash", CENTER_NM.tolist(), 40.0, "scene: --atmosphere 'flaash' is not known"),
    ],
)
def test_what_is_missing_is_said(method: str, centers: Any, sun: float | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_atmosphere(material_of(centers, sun), Treatment(atmosphere=method), seen(ground()))
