"""The offset that Sentinel-2 products carry since 2022, forgotten or taken out twice, is noticed."""

from __future__ import annotations

import pytest
import rasterio

from db.errors import UsageError
from db.raster import Grid
from inference.normalisation import Normalisation
from inference.scene_checks import check_values
from inference.scene_source import ArrayReader, SceneSource
from tests.support import test_data
from tests.unit.segmentation_models import PixelNetwork, model_of

STRZEGOM = {"20210619": 0, "20220719": -1000, "20230301": -1000}


def strzegom(day: str, offset: float) -> SceneSource:
    with rasterio.open(test_data("strzegom") / "scenes" / f"strzegom_{day}_33u.tif") as dataset:
        pixels = dataset.read()
    grid = Grid(32633, 585_420.0, 5_652_250.0, 10.0, 10.0, pixels.shape[2], pixels.shape[1])
    return SceneSource(day, ArrayReader(pixels, grid, None), tuple(range(1, 11)), offset, 1e-4)


@pytest.mark.parametrize("left_out", STRZEGOM)
def test_the_forgotten_offset_of_sentinel_2_is_noticed(left_out: str) -> None:
    """A model of two dates takes the third with its true offset, and neither 1000 more nor 1000 less."""
    names = tuple(f"B{number}" for number in range(10))
    others = [strzegom(day, offset) for day, offset in STRZEGOM.items() if day != left_out]
    samples = [source.read(0, 0, 401, 401)[0].reshape(10, -1).T for source in others]
    model = model_of(PixelNetwork(), band_names=names, normalisation=Normalisation.of_samples(names, samples))
    true_offset = STRZEGOM[left_out]
    check_values(strzegom(left_out, true_offset), model)
    with pytest.raises(UsageError, match="offset"):
        check_values(strzegom(left_out, true_offset + 1000), model)
    with pytest.raises(UsageError, match="offset"):
        check_values(strzegom(left_out, true_offset - 1000), model)
