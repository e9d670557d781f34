"""Networks whose answer is known, and scenes in memory to ask them about."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.raster import Grid
from inference.normalisation import Normalisation
from inference.scene_source import ArrayReader, SceneSource
from inference.segmentation_model import CLASS_CODES, SegmentationModel


class PixelNetwork(nn.Module):
    """Logit of class k = value of band k; classes beyond the bands get 100, and must never be answered."""

    def forward(self, tiles: Tensor) -> Tensor:
        beyond = tiles.new_full((tiles.shape[0], len(CLASS_CODES) - tiles.shape[1], *tiles.shape[2:]), 100.0)
        return torch.cat((tiles, beyond), dim=1)


def model_of(network: nn.Module, bands: int = 3, tile_px: int = 32, **changes: Any) -> SegmentationModel:
    """A model with bands b1, b2, ... of mean 0 and deviation 1, answering as many classes."""
    names = tuple(f"b{number}" for number in range(1, bands + 1))
    values: dict[str, Any] = {
        "model_id": 1,
        "name": "drawn",
        "network": network.eval(),
        "device": torch.device("cpu"),
        "band_names": names,
        "normalisation": Normalisation(
            names, (0.0,) * bands, (1.0,) * bands, ((0.0, 0.0),) * bands, (0.0,) * bands
        ),
        "class_codes": CLASS_CODES,
        "mapped_codes": CLASS_CODES[:bands],
        "tile_px": tile_px,
        "resolution_m": 2.0,
        "processing_level": "digital_number",
    }
    return SegmentationModel(**{**values, **changes})


def source_of_pixels(
    pixels: NDArray[Any], nodata: float | None = None, offset: float = 0.0, scale: float = 1.0
) -> SceneSource:
    """A scene of 2 m pixels (bands, height, width) in memory."""
    bands, height, width = pixels.shape
    grid = Grid(32645, 500_000.0, 4_860_000.0, 2.0, 2.0, width, height)
    return SceneSource("drawn", ArrayReader(pixels, grid, nodata), tuple(range(1, bands + 1)), offset, scale)


def noise(bands: int, height: int, width: int, seed: int = 1) -> NDArray[np.float32]:
    """Standard normal values (bands, height, width)."""
    return np.random.default_rng(seed).normal(size=(bands, height, width)).astype(np.float32)
