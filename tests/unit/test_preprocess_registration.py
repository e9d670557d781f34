"""Registration recovers planted shifts to a tenth of a pixel, and refuses what no shift explains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from db.errors import UsageError
from ingest.preprocess.registration import Reader, Registration, register

FINE = 4
"""The ground is drawn with this many cells per pixel and side, so shifts are multiples of 1 / FINE."""

MARGIN = 72
NOISE = 0.004

Image = npt.NDArray[np.float32]


def draw_ground(size: int, seed: int) -> Image:
    """Fields with sharp borders and soft texture, FINE cells per pixel."""
    rng = np.random.default_rng(seed)
    length = size * FINE
    corners = rng.uniform(0, length, (max(60, (size // 25) ** 2), 2))
    rows, columns = np.mgrid[0:length:2, 0:length:2]
    nearest = cKDTree(corners).query(np.c_[rows.ravel(), columns.ravel()])[1].reshape(rows.shape)
    fields = rng.uniform(0.05, 0.35, len(corners))[nearest].repeat(2, 0).repeat(2, 1)
    for scale, deviation in ((3, 0.006), (12, 0.006), (50, 0.01)):
        texture = ndimage.gaussian_filter(rng.standard_normal((length, length), dtype=np.float32), scale)
        fields += deviation * texture / texture.std()
    return fields.astype(np.float32)


@pytest.fixture(scope="module")
def ground() -> Image:
    return draw_ground(670, 3)


def seen(ground: Image, row: float, col: float, size: int) -> Image:
    """The mean of the ground in every pixel of an image whose corner lies at a pixel position."""
    top, left = round(row * FINE), round(col * FINE)
    part = ground[top : top + size * FINE, left : left + size * FINE]
    return part.reshape(size, FINE, size, FINE).mean(axis=(1, 3)).astype(np.float32)


def pair(ground: Image, size: int, shift: tuple[float, float]) -> tuple[Image, Image]:
    """A moving and a fixed image: moving(row + shift, col + shift) shows what fixed(row, col) shows."""
    rng = np.random.default_rng(11)
    fixed = seen(ground, MARGIN, MARGIN, size)
    moving = 0.6 * seen(ground, MARGIN - shift[0], MARGIN - shift[1], size) + 0.08
    return tuple((each + rng.normal(0, NOISE, each.shape)).astype(np.float32) for each in (moving, fixed))


def reader(image: Image) -> Reader:
    """Reads windows, and only inside the image."""

    def read(row: int, col: int, height: int, width: int) -> Image:
        assert row >= 0
        assert col >= 0
        assert row + height <= image.shape[0]
        assert col + width <= image.shape[1]
        return image[row : row + height, col : col + width].copy()

    return read


def found(moving: Image, fixed: Image) -> Registration:
    return register(reader(moving), reader(fixed), fixed.shape)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, 0.0), (0.25, -0.5), (-20.5, 31.75), (55.25, -60.0)])
def test_a_planted_shift_is_found(ground: Image, shift: tuple[float, float]) -> None:
    result = found(*pair(ground, 520, shift))
    assert (result.d_row, result.d_col) == pytest.approx(shift, abs=0.05)
    assert result.rmse_px < 0.2
    assert result.tie_points > 0.9 * result.tried


@pytest.mark.parametrize("size", [40, 64, 100, 150])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.75, -5.25)])
def test_small_scenes_use_small_windows(ground: Image, size: int, shift: tuple[float, float]) -> None:
    result = found(*pair(ground, size, shift))
    # Windows of half of 40 pixels hold two or three field borders each.
    assert (result.d_row, result.d_col) == pytest.approx(shift, abs=0.2 if size < 64 else 0.1)


def test_the_sign_is_that_of_displaced_pixels(ground: Image) -> None:
    fixed = seen(ground, MARGIN, MARGIN, 300)
    moving = np.full_like(fixed, np.nan)
    moving[3:] = fixed[:-3]  # three rows down
    result = found(moving, fixed)
    assert (result.d_row, result.d_col) == pytest.approx((3.0, 0.0), abs=0.02)


def test_clouds_change_and_missing_data_do_not_matter(ground: Image) -> None:
    rng = np.random.default_rng(5)
    shift = (6.5, -3.25)
    moving, fixed = pair(ground, 520, shift)
    other = seen(draw_ground(200, 8), 0, 0, 200)
    moving[300:500, 20:220] = other  # real change: other ground, and not shifted
    rows, columns = np.ogrid[-1:1:110j, -1:1:110j]
    puff = 0.5 * np.sqrt(np.clip(1.0 - rows**2 - columns**2, 0.0, 1.0))
    for row, col in rng.integers(0, 400, (6, 2)):
        moving[row : row + 110, col : col + 110] += puff
    moving[:, 480:] = np.nan
    fixed[:30] = np.nan
    result = found(moving, fixed)
    assert (result.d_row, result.d_col) == pytest.approx(shift, abs=0.1)


def test_a_season_that_turns_light_to_dark_does_not_matter(ground: Image) -> None:
    moving, fixed = pair(ground, 400, (6.5, -3.25))
    result = found(0.5 - moving, fixed)
    assert (result.d_row, result.d_col) == pytest.approx((6.5, -3.25), abs=0.1)


def test_a_shared_outline_of_missing_data_is_no_ground(ground: Image) -> None:
    moving, fixed = pair(ground, 400, (5.0, -4.0))
    hidden = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal(fixed.shape), 10) > 0.03
    moving[hidden] = fixed[hidden] = np.nan
    assert 0.05 < hidden.mean() < 0.3
    result = found(moving, fixed)
    assert (result.d_row, result.d_col) == pytest.approx((5.0, -4.0), abs=0.1)


@pytest.mark.parametrize("degrees", [0.3, 1.0, 5.0, 90.0])
def test_a_rotated_image_is_refused(ground: Image, degrees: float) -> None:
    fixed = seen(ground, MARGIN, MARGIN, 520)
    moving = ndimage.rotate(fixed, degrees, reshape=False, order=1, mode="reflect")
    with pytest.raises(UsageError, match="--no-register"):
        found(moving, fixed)


def test_other_ground_is_refused(ground: Image) -> None:
    fixed = seen(ground, MARGIN, MARGIN, 300)
    for moving in (
        seen(draw_ground(300, 9), 0, 0, 300),
        np.random.default_rng(0).normal(0.2, 0.05, fixed.shape).astype(np.float32),
        np.full_like(fixed, 0.2),
        np.full_like(fixed, np.nan),
    ):
        with pytest.raises(UsageError, match=r"tie points agree|can be found again"):
            found(moving, fixed)


def test_two_shifts_in_one_scene_are_refused(ground: Image) -> None:
    moving, fixed = pair(ground, 520, (0.0, 0.0))
    moving[260:] = pair(ground, 520, (6.0, 0.0))[0][260:]
    with pytest.raises(UsageError, match=r"\d+ of \d+ tie points agree"):
        found(moving, fixed)


def test_a_scene_in_the_wrong_place_is_refused(ground: Image) -> None:
    with pytest.raises(UsageError, match="64 pixels are looked for"):
        found(*pair(ground, 520, (-70.0, 10.0)))


@pytest.mark.parametrize("shape", [(31, 400), (1, 1), (0, 0)])
def test_a_tiny_scene_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="too small"):
        found(np.zeros(shape, np.float32), np.zeros(shape, np.float32))


def test_a_reader_must_keep_to_the_window() -> None:
    with pytest.raises(ValueError, match="asked for a window of 100 x 100"):
        register(lambda *_: np.zeros((9, 9), np.float32), lambda *_: np.zeros((9, 9), np.float32), (100, 100))


def test_a_large_scene_is_read_in_windows_only() -> None:
    read_px: list[int] = []

    def read(row: int, col: int, height: int, width: int) -> Image:
        """Ground that is computed where it is asked for: 30000 x 30000 pixels are never held."""
        read_px.append(height * width)
        rows, columns = np.arange(row, row + height)[:, None], np.arange(col, col + width)
        mixed = (rows // 7 * 73856093) ^ (columns // 9 * 19349663)
        return (mixed % 1009 / 1009).astype(np.float32)

    def moved(row: int, col: int, height: int, width: int) -> Image:
        return read(row - 4 + 100, col + 9 + 100, height, width)

    result = register(moved, lambda r, c, h, w: read(r + 100, c + 100, h, w), (30000, 30000))
    assert (result.d_row, result.d_col) == pytest.approx((4.0, -9.0), abs=0.1)
    assert max(read_px) <= 1024**2
    assert sum(read_px) < 0.06 * 30000**2


def test_the_figures_are_plain_numbers(ground: Image) -> None:
    result = found(*pair(ground, 150, (1.0, 2.0)))
    said = result.as_json()
    assert said["d_row_px"] == result.d_row
    assert said["d_col_px"] == result.d_col
    assert said["tie_points"] == result.tie_points
    assert all(type(value) in (int, float) for value in said.values())
