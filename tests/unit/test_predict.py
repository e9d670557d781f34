"""Prediction of scenes: the right pixels in the right places, whatever size, batch, order or memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import UsageError
from db.raster import Grid
from inference.device import BatchRunner, choose_device
from inference.predict import PredictedStrip, predict_scene
from inference.prefetch import prefetched
from inference.scene_source import ArrayReader, SceneSource, choose_bands
from inference.segmentation_model import SegmentationModel
from tests.unit.segmentation_models import PixelNetwork, model_of, noise, source_of_pixels

SIZES = [(70, 90), (64, 32), (20, 50), (50, 7), (1, 1), (33, 33)]


def predicted(
    source: SceneSource,
    model: SegmentationModel,
    overlap_px: int = 8,
    batch_size: int = 3,
    rows: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Class map and probabilities, put together; strips must follow each other."""
    strips: list[PredictedStrip] = []
    next_row, end = rows or (0, source.grid.height_px)
    for strip in predict_scene(source, model, overlap_px=overlap_px, batch_size=batch_size, rows=rows):
        assert strip.row == next_row
        next_row += len(strip.class_map)
        strips.append(strip)
    assert next_row == end
    probabilities = [strip.probabilities for strip in strips if strip.probabilities is not None]
    return np.concatenate([strip.class_map for strip in strips]), np.concatenate(probabilities, axis=1)


def expected_probabilities(values: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(values)
    return powers / powers.sum(axis=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pixel_gets_its_own_answer(height: int, width: int) -> None:
    values = noise(3, height, width)
    class_map, probabilities = predicted(source_of_pixels(values), model_of(PixelNetwork()))
    np.testing.assert_array_equal(class_map, values.argmax(axis=0))
    assert probabilities.shape == (8, height, width)
    np.testing.assert_allclose(probabilities[:3] / 200, expected_probabilities(values), atol=0.5 / 200 + 1e-5)


def test_classes_without_labels_are_never_answered() -> None:
    """The network's untrained outputs say 100 everywhere."""
    class_map, probabilities = predicted(source_of_pixels(noise(3, 40, 40)), model_of(PixelNetwork()))
    assert class_map.max() <= 2
    assert (probabilities[3:] == 0).all()


def test_batch_size_does_not_change_the_result_and_overlap_hardly() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 8, 3, padding=1))
    source, model = source_of_pixels(noise(3, 100, 75)), model_of(network)
    one, many = predicted(source, model, batch_size=1), predicted(source, model, batch_size=64)
    np.testing.assert_allclose(one[1].astype(int), many[1].astype(int), atol=1)
    assert (one[0] != many[0]).mean() < 1e-3


class Neighbourly(PixelNetwork):
    """Each pixel hears of its whole window, of each window by itself: the batch plays no part."""

    def forward(self, tiles: Tensor) -> Tensor:
        heard = [tile + 0.5 * tile.mean() + 0.3 * tile.roll(1, dims=1) for tile in tiles]
        return super().forward(torch.stack(heard))


@settings(max_examples=60)
@given(
    height=st.integers(1, 80),
    width=st.integers(1, 50),
    tile_px=st.integers(2, 24),
    overlap=st.floats(0, 1, exclude_max=True),
    cuts=st.lists(st.floats(0, 1, exclude_max=True), max_size=4),
    batch_sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_any_split_of_the_rows_gives_the_same_as_one_piece(
    height: int, width: int, tile_px: int, overlap: float, cuts: list[float], batch_sizes: tuple[int, int]
) -> None:
    values = noise(3, height, width, seed=height)
    values[1, height // 2 :, width // 3 :] = np.nan
    source, model = source_of_pixels(values), model_of(Neighbourly(), tile_px=tile_px)
    overlap_px = int(overlap * tile_px)
    whole = predicted(source, model, overlap_px, batch_sizes[0])
    edges = sorted({0, height, *(int(cut * height) for cut in cuts)})
    parts = [
        predicted(source, model, overlap_px, batch_sizes[1], rows=rows) for rows in itertools.pairwise(edges)
    ]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), whole[0])
    np.testing.assert_array_equal(np.concatenate([part[1] for part in parts], axis=1), whole[1])


def test_some_rows_need_only_the_windows_over_them() -> None:
    values = noise(3, 320, 50)
    source, counted = source_of_pixels(values), _Counting()
    watched = _Watched(values, source.grid)
    told: list[tuple[int, int]] = []
    strips = predict_scene(
        replace(source, reader=watched), model_of(counted), overlap_px=8, batch_size=2, rows=(96, 144),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert [(strip.row, len(strip.class_map)) for strip in strips] == [(96, 24), (120, 24)]
    # windows of 32 px every 24: three bands, from row 72 on, of two windows
    assert counted.windows == 3 * 2
    assert told[-1] == (6, 6)
    np.testing.assert_array_equal(np.flatnonzero(watched.times), np.arange(72, 152))
    assert watched.times.max() == 1


def test_rows_and_what_is_needed_of_them() -> None:
    values = noise(3, 128, 128)
    needed = np.zeros((128, 128), bool)
    needed[70, 3] = needed[10, 100] = True
    counted = _Counting()
    strips = predict_scene(
        source_of_pixels(values), model_of(counted), overlap_px=0, needed=needed, rows=(64, 128)
    )
    class_map = np.concatenate([strip.class_map for strip in strips])
    assert class_map.shape == (64, 128)
    assert class_map[6, 3] == values[:, 70, 3].argmax()
    assert counted.windows == 1


def test_not_observed_is_255_and_no_window_is_run_for_it() -> None:
    pixels = np.full((3, 100, 100), 5, np.uint16)
    pixels[:, :, 60:] = 0
    pixels[1, 10, 10] = 0  # one band alone suffices
    counted = _Counting()
    class_map, probabilities = predicted(
        source_of_pixels(pixels, nodata=0), model_of(counted), overlap_px=0, batch_size=1
    )
    invalid = (pixels == 0).any(axis=0)
    np.testing.assert_array_equal(class_map == 255, invalid)
    np.testing.assert_array_equal((probabilities == 255).all(axis=0), invalid)
    # windows begin at 0, 32, 64 and 68: two of four columns hold data
    assert counted.windows == 4 * 2


def test_nan_and_infinity_are_not_observed_and_do_not_spread() -> None:
    values = noise(3, 40, 40)
    values[0, 5, 5], values[2, 20, 30] = np.nan, np.inf
    smoothing = nn.Conv2d(3, 8, 3, padding=1)
    class_map, probabilities = predicted(source_of_pixels(values, nodata=np.nan), model_of(smoothing))
    assert class_map[5, 5] == class_map[20, 30] == 255
    assert (class_map == 255).sum() == 2
    known = probabilities[:3, class_map != 255].astype(int)
    assert (known <= 200).all()
    np.testing.assert_allclose(known.sum(axis=0), 200, atol=2)


def test_a_broken_value_stays_a_matter_of_its_pixel() -> None:
    """Through global pooling one enormous value would otherwise change or destroy the whole window."""

    class Pooling(PixelNetwork):
        def forward(self, tiles: Tensor) -> Tensor:
            return super().forward(tiles + tiles.mean(dim=(2, 3), keepdim=True))

    values = noise(3, 64, 64) * 3
    broken = values.copy()
    broken[0, 5, 5] = -3.4e38
    whole, spoilt = (predicted(source_of_pixels(v), model_of(Pooling())) for v in (values, broken))
    assert (spoilt[1].astype(int) <= 200).all()
    assert np.abs(whole[1].astype(int) - spoilt[1]).mean() < 1


def test_under_cloud_nothing_is_observed() -> None:
    # rows 10 to 29 and columns 40 to 79 of 2 m pixels
    cloud = shapely.MultiPolygon([shapely.box(500_080, 4_859_940, 500_160, 4_859_980)])
    values = noise(3, 100, 100)
    clouded = replace(source_of_pixels(values), clouded=cloud)
    expected = values.argmax(axis=0)
    expected[10:30, 40:80] = 255
    for source in (clouded, clouded.cached()):
        np.testing.assert_array_equal(predicted(source, model_of(PixelNetwork()))[0], expected)


def test_values_are_scaled_and_normalised_band_by_band() -> None:
    from inference.normalisation import Normalisation

    names = ("b1", "b2")
    normalisation = Normalisation(names, (0.1, 0.3), (0.05, 0.1), ((0.1, 0.1), (0.3, 0.3)), (0.0, 0.0))
    seen = _Counting()
    source = source_of_pixels(np.full((2, 32, 32), 2500, np.uint16), offset=-1000, scale=1e-4)
    predicted(source, model_of(seen, bands=2, normalisation=normalisation))
    assert seen.last is not None
    torch.testing.assert_close(seen.last[0, :, 0, 0], torch.tensor([1.0, -1.5]))


def test_only_needed_windows_are_run() -> None:
    needed = np.zeros((128, 128), bool)
    needed[100, 3] = True
    counted = _Counting()
    model = model_of(counted)
    values = noise(3, 128, 128)
    strips = list(predict_scene(source_of_pixels(values), model, overlap_px=0, batch_size=1, needed=needed))
    assert counted.windows == 1
    class_map = np.concatenate([strip.class_map for strip in strips])
    assert class_map[100, 3] == values[:, 100, 3].argmax()


class _Watched(ArrayReader):
    """Remembers which rows were read, and how often."""

    def __init__(self, pixels: NDArray[np.float32], grid: Grid) -> None:
        super().__init__(pixels, grid, None)
        self.times = np.zeros(pixels.shape[1], int)

    def read(
        self, row: int, col: int, height: int, width: int, *, bands: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        self.times[row : row + height] += 1
        return super().read(row, col, height, width, bands=bands)


@pytest.mark.parametrize("rows", [[3], [40], [70, 71], [159], [0, 90], [55, 159], []])
def test_rows_that_nobody_needs_are_not_read(rows: list[int]) -> None:
    values = noise(3, 160, 50)
    needed = np.zeros((160, 50), bool)
    needed[rows, 20:30] = True
    whole, _ = predicted(source_of_pixels(values), model_of(PixelNetwork()))
    source = source_of_pixels(values)
    watched = _Watched(values, source.grid)
    strips = predict_scene(
        replace(source, reader=watched), model_of(PixelNetwork()), overlap_px=8, needed=needed
    )
    class_map = np.concatenate([strip.class_map for strip in strips])
    assert class_map.shape == (160, 50)
    assert (class_map[needed] == whole[needed]).all()
    assert watched.times.max() <= 1
    near = np.zeros(160, bool)
    for row in rows:  # windows of 32 px that hold the row
        near[max(row - 31, 0) : row + 32] = True
    assert not watched.times[~near].any()


def test_out_of_memory_halves_the_batch_and_gives_the_same() -> None:
    values = noise(3, 100, 100)
    crowded = _Crowded(fits=2)
    small = predicted(source_of_pixels(values), model_of(crowded), batch_size=16)
    np.testing.assert_array_equal(small[1], predicted(source_of_pixels(values), model_of(PixelNetwork()))[1])
    assert crowded.tried[:4] == [16, 8, 4, 2]
    assert max(crowded.tried[4:]) <= 2


def test_out_of_memory_at_a_single_window_is_said() -> None:
    with pytest.raises(UsageError, match="not enough memory for a single window"):
        predicted(source_of_pixels(noise(3, 40, 40)), model_of(_Crowded(fits=0)))


def test_other_errors_of_the_network_are_not_taken_for_lack_of_memory() -> None:
    def broken(_items: Tensor) -> Tensor:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        BatchRunner(broken, 4)(torch.zeros(4, 1))


def test_progress_ends_with_all_windows() -> None:
    told: list[tuple[int, int]] = []
    pixels = np.zeros((3, 100, 100), np.uint8)
    pixels[:, 70:] = 9
    list(
        predict_scene(
            source_of_pixels(pixels, nodata=0), model_of(PixelNetwork()), overlap_px=0,
            progress=lambda done, total: told.append((done, total)),
        )
    )  # fmt: skip
    assert told[-1] == (16, 16)


def test_a_broken_reader_breaks_the_prediction() -> None:
    source = source_of_pixels(noise(3, 40, 40))

    def fail(*_arguments: object, **_options: object) -> NDArray[np.float32]:
        raise OSError("the connection was lost")

    source.reader.read = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="connection was lost"):
        list(predict_scene(source, model_of(PixelNetwork())))


def test_leaving_early_ends_the_reading_thread() -> None:
    strips = predict_scene(source_of_pixels(noise(3, 500, 40)), model_of(PixelNetwork()), batch_size=1)
    next(strips)
    strips.close()  # type: ignore[attr-defined]
    assert not any(thread.name == "lode-prefetch" for thread in threading.enumerate())


def test_work_ahead_keeps_the_order_and_passes_errors_on() -> None:
    def items() -> object:
        yield from range(20)
        raise ValueError("after twenty")

    seen = []
    with pytest.raises(ValueError, match="after twenty"), prefetched(items()) as ahead:  # type: ignore[arg-type]
        seen.extend(ahead)
    with prefetched(iter(range(20))) as ahead:
        assert list(ahead) == list(range(20))


def test_bands_are_found_by_name() -> None:
    assert choose_bands("s", ["blue", "green", "nir"], ["nir", "blue"]) == (3, 1)
    with pytest.raises(UsageError, match=r"lacks the bands red, swir; it has blue, green"):
        choose_bands("s", ["blue", "green"], ["red", "blue", "swir"])


@pytest.mark.parametrize("name", ["tpu", "meta", "cuda:99"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="device"):
        choose_device(name)


class _Counting(PixelNetwork):
    """Counts windows and keeps the last batch."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = 0
        self.last: Tensor | None = None

    def forward(self, tiles: Tensor) -> Tensor:
        self.windows += tiles.shape[0]
        self.last = tiles
        return super().forward(tiles)


class _Crowded(PixelNetwork):
    """Runs out of memory above a number of windows."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.tried: list[int] = []

    def forward(self, tiles: Tensor) -> Tensor:
        self.tried.append(tiles.shape[0])
        if tiles.shape[0] > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(tiles)
