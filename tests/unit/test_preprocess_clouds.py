"""Clouds planted over ground with all that looks like cloud: found with their shadows, nothing else lost."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from db.errors import UsageError
from ingest.preprocess.cloud_mask import CloudMask, find_clouds
from ingest.preprocess.cloud_shadow import dark_ground, direction, throws

Mask = NDArray[np.bool_]
Image = NDArray[np.float32]

SIDE = 360
CELL_M = 4.0
AIR = np.array((0.05, 0.03, 0.018, 0.008))
VEGETATION, SOIL = (0.03, 0.055, 0.04, 0.32), (0.09, 0.13, 0.18, 0.26)
WATER, TAILINGS = (0.03, 0.04, 0.03, 0.015), (0.40, 0.44, 0.47, 0.49)
ROOF, SNOW, CLOUD = (0.55, 0.56, 0.57, 0.56), (0.63, 0.63, 0.62, 0.58), (0.56, 0.57, 0.58, 0.60)
SUNS = {1: (145.0, 60.0), 2: (215.0, 50.0), 3: (60.0, 45.0), 4: (330.0, 65.0)}


@dataclass(frozen=True)
class Scene:
    """A scene and all that is true about it."""

    image: Image
    clear: Image
    cloud: Mask
    shadow: Mask
    traps: dict[str, Mask]
    sun: tuple[float, float]


def rough(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    field = ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float64)


def ground(rng: np.random.Generator) -> tuple[NDArray[np.float64], dict[str, Mask]]:
    """Reflectance of slopes, fields and a lake, and the traps: tailings, roofs, snow, with sharp edges."""
    cover = 1 / (1 + np.exp(-3 * rough(rng, 14)))
    surface = np.array(VEGETATION)[:, None, None] * cover + np.array(SOIL)[:, None, None] * (1 - cover)
    slope = ndimage.sobel(rough(rng, 18), axis=1)
    surface *= 1 + 0.10 * rough(rng, 1.2) + 0.18 * slope / slope.std()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    surface[:, np.hypot(rows - 60, 0.6 * (columns - 300)) < 28] = np.array(WATER)[:, None]
    traps = {name: np.zeros((SIDE, SIDE), bool) for name in ("tailings", "roofs", "snow")}
    traps["tailings"][230:275, 20:80] = True
    for row, column in rng.integers(20, SIDE - 30, (12, 2)):
        traps["roofs"][row : row + 5, column : column + 16] = True
    traps["snow"] = (rough(rng, 5) > 0.3) & (np.hypot(rows - 60, columns - 70) < 45)
    for name, material in (("tailings", TAILINGS), ("roofs", ROOF), ("snow", SNOW)):
        surface[:, traps[name]] = np.array(material)[:, None] * (1 + 0.03 * rough(rng, 1)[traps[name]])
    return np.clip(surface, 0.01, 0.8), traps


def seen(rng: np.random.Generator, surface: NDArray[np.float64]) -> Image:
    blurred = ndimage.gaussian_filter(surface, (0, 0.6, 0.6))
    air = AIR[:, None, None]
    image = air + (1 - 1.5 * air) * blurred + rng.normal(0, 0.003, blurred.shape)
    return np.asarray(image, dtype=np.float32)


TWO = ((190, 190, 52.0), (290, 270, 34.0))


def plant(seed: int, *, places: tuple[tuple[int, int, float], ...] = TWO) -> Scene:
    """Plant clouds (row, column, radius in pixels) 280 m above the ground, and throw their shadows."""
    rng = np.random.default_rng(seed)
    surface, traps = ground(rng)
    clear = seen(rng, surface)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    opacity = np.zeros((SIDE, SIDE))
    for row, column, radius in places:
        body = 1.0 - np.hypot(rows - row, columns - column) / radius + 0.16 * rough(rng, 0.25 * radius)
        # Beyond its own disc noise makes no cloud.
        near = np.hypot(rows - row, columns - column) < 1.4 * radius
        opacity = np.maximum(opacity, np.clip(body / 0.45, 0, 1) * near)
    opacity = opacity * opacity * (3 - 2 * opacity)
    azimuth, elevation = SUNS[seed]
    reach_px = 280.0 / math.tan(math.radians(elevation)) / CELL_M
    # The shadow lies away from the sun; rows count southwards.
    north, east = -math.cos(math.radians(azimuth)), -math.sin(math.radians(azimuth))
    shade = ndimage.shift(opacity, (-north * reach_px, east * reach_px), order=1, cval=0.0)
    surface = surface * (1 - np.array((0.52, 0.58, 0.62, 0.66))[:, None, None] * shade)
    white = np.array(CLOUD)[:, None, None] * (0.62 + 0.38 * opacity)
    surface = surface + (white - surface) * opacity
    cloud = opacity > 0.12
    # A roof that a cloud touches is the cloud's.
    near = ndimage.binary_dilation(cloud, iterations=5) | (shade > 0.01)
    hidden = {name: mask & ~near for name, mask in traps.items()}
    return Scene(seen(rng, surface), clear, cloud, (shade > 0.12) & ~cloud, hidden, (azimuth, elevation))


def found(scene: Scene, *, reference: Image | None = None) -> CloudMask:
    return find_clouds(
        scene.image,
        resolution_m=CELL_M,
        sun_azimuth_deg=scene.sun[0],
        sun_elevation_deg=scene.sun[1],
        reference=reference,
    )


def recall(mask: Mask, truth: Mask) -> float:
    return float((mask & truth).sum() / truth.sum())


def precision(mask: Mask, truth: Mask) -> float:
    return float((mask & truth).sum() / mask.sum())


@pytest.mark.parametrize("with_reference", [False, True])
@pytest.mark.parametrize("seed", sorted(SUNS))
def test_planted_clouds_and_shadows_are_found(seed: int, *, with_reference: bool) -> None:
    scene = plant(seed)
    mask = found(scene, reference=scene.clear if with_reference else None)
    hidden, truth = mask.cloud | mask.shadow, scene.cloud | scene.shadow
    assert recall(mask.cloud, scene.cloud) >= 0.9
    assert precision(mask.cloud, scene.cloud) >= 0.8
    assert recall(hidden, truth) >= 0.9
    assert precision(hidden, truth) >= 0.8
    assert recall(mask.shadow, scene.shadow) >= 0.75
    assert not (mask.cloud & mask.shadow).any()
    assert mask.figures["cloud_height_m"] == pytest.approx(280, rel=0.25)
    for name, trap in scene.traps.items():
        assert recall(hidden, trap) < 0.1, name
    json.dumps(mask.figures, allow_nan=False)


@pytest.mark.parametrize("with_sun", [True, False])
@pytest.mark.parametrize("seed", sorted(SUNS))
def test_clear_scene_loses_no_snow_tailings_or_roofs(seed: int, *, with_sun: bool) -> None:
    scene = plant(seed, places=())
    sun = scene.sun if with_sun else (None, None)
    mask = find_clouds(scene.image, resolution_m=CELL_M, sun_azimuth_deg=sun[0], sun_elevation_deg=sun[1])
    hidden = mask.cloud | mask.shadow
    for name, trap in scene.traps.items():
        assert trap.sum() > 300
        assert recall(hidden, trap) < 0.01, name
    assert hidden.mean() < 0.01


def test_without_sun_clouds_are_found_by_their_edges_and_no_shadow_is_marked() -> None:
    scene = plant(1)
    mask = find_clouds(scene.image, resolution_m=CELL_M, sun_azimuth_deg=None, sun_elevation_deg=None)
    assert mask.figures["sun_known"] is False
    assert not mask.shadow.any()
    assert recall(mask.cloud, scene.cloud) >= 0.85
    assert precision(mask.cloud, scene.cloud) >= 0.8


def test_shadow_on_the_wrong_side_is_not_believed() -> None:
    scene = plant(1)
    turned = (scene.sun[0] + 180.0) % 360
    mask = find_clouds(
        scene.image, resolution_m=CELL_M, sun_azimuth_deg=turned, sun_elevation_deg=scene.sun[1]
    )
    assert recall(mask.shadow, scene.shadow) < 0.3


def test_overcast_scene_is_all_cloud() -> None:
    rng = np.random.default_rng(9)
    surface = np.array(CLOUD)[:, None, None] * (1 + 0.05 * rough(rng, 12))
    mask = find_clouds(seen(rng, surface), resolution_m=CELL_M, sun_azimuth_deg=150.0, sun_elevation_deg=55.0)
    assert mask.cloud.mean() > 0.95


def test_collar_without_data_is_neither_and_does_not_hinder() -> None:
    scene = plant(2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    outside = (columns < 20 + 0.15 * rows) | (columns > 330 + 0.05 * rows)
    image = scene.image.copy()
    image[:, outside] = np.nan
    mask = find_clouds(
        image, resolution_m=CELL_M, sun_azimuth_deg=scene.sun[0], sun_elevation_deg=scene.sun[1]
    )
    assert not ((mask.cloud | mask.shadow) & outside).any()
    assert recall(mask.cloud, scene.cloud & ~outside) >= 0.85
    assert precision(mask.cloud, scene.cloud) >= 0.8


def test_finer_pixels_give_a_mask_of_their_own_shape() -> None:
    scene = plant(1)
    fine = scene.image.repeat(2, axis=1).repeat(2, axis=2)[:, : 2 * SIDE - 1, : 2 * SIDE - 3]
    mask = find_clouds(
        fine, resolution_m=CELL_M / 2, sun_azimuth_deg=scene.sun[0], sun_elevation_deg=scene.sun[1]
    )
    assert mask.cloud.shape == mask.shadow.shape == fine.shape[1:]
    assert mask.figures["working_pixel_m"] == CELL_M
    coarse = found(scene).cloud.repeat(2, axis=0).repeat(2, axis=1)[: 2 * SIDE - 1, : 2 * SIDE - 3]
    assert (mask.cloud == coarse).mean() > 0.995


@pytest.mark.parametrize("shape", [(4, 1, 1), (4, 1, 50), (4, 5, 3), (4, 30, 30)])
def test_tiny_constant_or_empty_images_give_an_empty_mask(shape: tuple[int, int, int]) -> None:
    for value in (np.nan, 0.0, 0.12):
        image = np.full(shape, value, np.float32)
        mask = find_clouds(
            image, resolution_m=4.0, sun_azimuth_deg=150.0, sun_elevation_deg=50.0, reference=image
        )
        assert mask.cloud.shape == mask.shadow.shape == shape[1:]
        assert not mask.cloud.any()
        assert not mask.shadow.any()


def test_wrong_input_is_refused() -> None:
    image = np.full((4, 20, 20), 0.1, np.float32)
    for wrong in (image[:3], image[0], image[:, :0]):
        with pytest.raises(UsageError, match="four bands"):
            find_clouds(wrong, resolution_m=4.0, sun_azimuth_deg=None, sun_elevation_deg=None)
    with pytest.raises(UsageError, match="one grid"):
        find_clouds(
            image, resolution_m=4.0, sun_azimuth_deg=None, sun_elevation_deg=None, reference=image[:, 1:]
        )
    with pytest.raises(UsageError, match="pixel size is 0"):
        find_clouds(image, resolution_m=0.0, sun_azimuth_deg=None, sun_elevation_deg=None)


def test_direction_of_shadows_by_hand() -> None:
    # Sun in the south, 45 degrees high: a cloud 100 m up throws its shadow 100 m north, 25 rows of 4 m up.
    assert np.multiply(direction(180.0, 45.0, 4.0), 100) == pytest.approx((-25.0, 0.0), abs=1e-9)
    # Sun in the east: the shadow falls to the west.
    assert np.multiply(direction(90.0, 45.0, 4.0), 100) == pytest.approx((0.0, -25.0), abs=1e-9)


def test_throw_finds_the_planted_height_and_tells_shade_from_a_dark_plain() -> None:
    labels = np.zeros((120, 120), np.int32)
    labels[80:92, 50:66] = 1
    valid = labels == 0
    dark = np.zeros((120, 120), bool)
    dark[40:52, 50:66] = True
    per_metre = direction(180.0, 45.0, 4.0)
    (place,) = throws(labels, 1, dark, valid, per_metre)
    assert place is not None
    assert (place.d_row, place.d_col) == (-40, 0)
    assert place.height_m == pytest.approx(160.0, abs=4.0)
    assert place.share == 1.0
    assert place.contrast > 0.95
    (plain,) = throws(labels, 1, valid, valid, per_metre)
    assert plain is not None
    assert not plain.is_dark
    # Sun in the north: the shadow falls out of the image.
    (gone,) = throws(labels, 1, dark, valid, direction(0.0, 5.0, 4.0))
    assert gone is None


def test_water_and_what_was_dark_before_is_no_shadow() -> None:
    image = np.empty((4, 60, 60), np.float32)
    image[:] = np.array((0.10, 0.10, 0.10, 0.30), np.float32)[:, None, None]
    before = image.copy()
    lake, burnt, shade = np.s_[:, 5:15, 5:15], np.s_[:, 25:35, 25:35], np.s_[:, 45:55, 45:55]
    for place in (burnt, shade):
        image[place] *= 0.4
    before[burnt] *= 0.4
    image[lake] = before[lake] = np.array((0.07, 0.06, 0.04, 0.02), np.float32)[:, None, None]
    valid = np.ones((60, 60), bool)
    expected = np.zeros((60, 60), bool)
    expected[shade[1:]] = True
    dark, least = dark_ground(image, valid, before)
    np.testing.assert_array_equal(dark, expected)
    assert 0.03 <= least < 0.18
    expected[burnt[1:]] = True
    np.testing.assert_array_equal(dark_ground(image, valid, None)[0], expected)
    assert not dark_ground(image, ~valid, None)[0].any()
