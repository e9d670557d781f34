"""Scenes in memory for pretraining tests: stripes that context can continue, in noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference.pretraining.fitting import Fitted, fit_backbone
from inference.pretraining.ground import PretrainingGround, pretraining_ground
from inference.pretraining.network import MaskedAutoencoder, new_autoencoder
from inference.pretraining.settings import PretrainingSettings
from tests.unit.segmentation_models import noise, source_of_pixels

TILE_PX = 32
NODATA = -9999.0
SETTINGS = PretrainingSettings(
    backbone="small", tile_px=TILE_PX, patch_px=8, windows=48, rounds=3, batch_size=8, seed=3
)


def striped(edge_px: int = 160) -> NDArray[np.float32]:
    """(2, edge_px, edge_px): stripes 16 px wide whose two bands differ in sign, in noise."""
    level = np.where(np.arange(edge_px) // 16 % 2, 1.0, -1.0)[None, :].repeat(edge_px, axis=0)
    pixels: NDArray[np.float32] = np.stack([level, -level]).astype(np.float32)
    return pixels + np.float32(0.2) * noise(2, edge_px, edge_px)


def drawn_ground(pixels: NDArray[np.float32] | None = None, **changes: Any) -> PretrainingGround:
    """A ground of one scene."""
    source = source_of_pixels(striped() if pixels is None else pixels, nodata=NODATA)
    return pretraining_ground([source], ("b1", "b2"), TILE_PX, **{"seed": 3, **changes})


def fresh(seed: int = 0) -> MaskedAutoencoder:
    """A network of two bands with fresh weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return new_autoencoder("small", 2)


def fitted(ground: PretrainingGround, settings: PretrainingSettings, **given: Any) -> tuple[Any, Fitted]:
    """A network that was trained on a ground, and its figures."""
    network = fresh()
    figures = fit_backbone(network, ground, settings, torch.device("cpu"), lambda _round: None, **given)
    return network, figures
