"""Scenes in one picture: balanced, without seams, and without cloud that another scene does not have."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine

from db.errors import UsageError
from ingest.clouds import transformed
from ingest.scene_mosaic import PlacedImage, mosaic


def ground(seed: int = 0) -> np.ndarray:
    """Three bands of 200 x 300 pixels of 10 m with broad and fine forms."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:200, :300]
    base = 0.2 + 0.1 * np.sin(rows / 17) * np.cos(columns / 23)
    return np.stack([base * share + 0.002 * random.random((200, 300)) for share in (0.8, 1.0, 1.2)])


def placed(pixels: np.ndarray, col: int, hidden: shapely.Geometry | None = None) -> PlacedImage:
    transform = Affine(10, 0, 500_000 + 10 * col, 0, -10, 4_860_000)
    return PlacedImage(pixels.astype(np.float32), transform, 32645, hidden)


def test_two_dates_become_one_without_a_seam_and_without_cloud() -> None:
    whole = ground()
    west, east = whole[:, :, :190].copy(), whole[:, :, 110:] * 1.3 + 0.03
    # Cloud in the overlap of the first, whose place is known.
    west[:, 60:120, 130:170] = 0.8
    square = shapely.box(500_000 + 1290, 4_860_000 - 1210, 500_000 + 1710, 4_860_000 - 590)
    hidden = transformed(square, 32645, 4326)
    found, notes = mosaic([placed(west, 0, hidden), placed(east, 110)], 300)
    assert notes == ()
    assert found.pixels.shape == (3, 200, 300)
    assert np.abs(found.pixels - whole).max() < 0.02
    assert np.median(np.abs(found.pixels - whole)) < 0.002


def test_cloud_that_nobody_sees_through_stays() -> None:
    image = ground()
    image[:, 60:120, 130:170] = 0.8
    square = shapely.box(500_000 + 1290, 4_860_000 - 1210, 500_000 + 1710, 4_860_000 - 590)
    hidden = transformed(square, 32645, 4326)
    found, _ = mosaic([placed(image, 0, hidden), placed(image, 0, hidden)], 300)
    assert np.allclose(found.pixels[:, 90, 150], 0.8, atol=0.01)


def test_scenes_of_two_zones_and_far_apart() -> None:
    image = ground()
    other = PlacedImage(image.astype(np.float32), Affine(10, 0, 780_000, 0, -10, 4_870_000), 32644)
    found, notes = mosaic(
        [PlacedImage(image.astype(np.float32), Affine(10, 0, 300_000, 0, -10, 4_870_000), 32645), other], 400
    )
    assert found.srid == 32645
    assert np.isfinite(found.pixels).any()
    assert notes
    with pytest.raises(UsageError, match="too far apart"):
        mosaic([placed(image, 0), placed(image, 4_000_000)], 300)
