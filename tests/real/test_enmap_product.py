"""Tiles of a real EnMAP scene come in as one product."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from ingest.processing.native import NativeSource
from ingest.products.enmap import find, read
from ingest.products.gathering import gather
from tests.support import test_data as data


@pytest.mark.parametrize("folder", ["enmap_potsdam/images", "enmap_potsdam"])
def test_enmap_tiles_of_potsdam(folder: str, tmp_path: Path) -> None:
    package = gather(str(data(folder)), (), tmp_path)
    (path,) = find(package)
    product = read(package, path)
    assert product.acquired_at == datetime(2022, 7, 24, 10, 45, 26, tzinfo=UTC)
    assert len(product.files) == 18
    (part,) = product.parts
    assert (len(part.layers), part.sensor, part.nodata) == (224, "enmap_hsi", -32768)
    centers = np.array([layer.band.center_nm for layer in part.layers], float)
    assert (np.diff(centers[:91]) > 0).all()
    assert (np.diff(centers[91:]) > 0).all()
    assert centers[[0, 90, 91, 223]] == pytest.approx([418.24, 993.083, 902.257, 2445.53])
    # 15 bands of 782-902 nm and 46 of 2014-2400 nm: those that mining spectra are compared in.
    usable = [layer.band.fault is None for layer in part.layers]
    near, far = (centers >= 782) & (centers <= 902), (centers >= 2014) & (centers <= 2400)
    assert (int((near & usable).sum()), int((far & usable).sum())) == (15, 46)
    with ExitStack() as stack:
        source = NativeSource(part, stack, product.name)
        grid = source.grid
        assert (grid.srid, grid.width_px, grid.height_px, grid.resolution_x) == (32633, 160, 192, 30)
        pixels = source.read_window(0, 0, grid.height_px, grid.width_px)
    faults = {place for place, layer in enumerate(part.layers, 1) if layer.band.fault is not None}
    empty = {band for band, values in enumerate(pixels, 1) if np.isnan(values).all()}
    assert faults == empty == set(range(130, 136))
    assert np.count_nonzero(np.isfinite(pixels[0])) == 18 * 32 * 32
    for file in part.layers[0].files:
        with rasterio.open(file.path) as dataset:
            col = round((dataset.transform.c - grid.origin_x) / 30)
            row = round((grid.origin_y - dataset.transform.f) / 30)
            tile = dataset.read(50)
        assert np.array_equal(pixels[49, row : row + 32, col : col + 32], tile)
