"""Fields of three classes as a small scene with labels, and networks trained on them in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from inference.training.segmentation import TrainingReport, train_segmentation
from inference.training.settings import TrainingSettings
from tests.ingest_files import write_geojson, write_tiff

BLOCKS, BLOCK_PX, PIXEL_M = 16, 8, 10.0
COLLAR_PX = 7
KINDS = ("background", "vegetation", "open_pit")
CODES = (0, 1, 6)
FIELD_PX = BLOCKS * BLOCK_PX


def ground() -> NDArray[np.int64]:
    """(blocks, blocks): the class of each square field, as a place in `KINDS`."""
    return np.random.default_rng(1).integers(0, len(KINDS), (BLOCKS, BLOCKS))


def write_scene(folder: Path) -> Path:
    """Fields of which each class is told by other bands, in noise; a collar holds no data."""
    kinds = np.kron(ground(), np.ones((BLOCK_PX, BLOCK_PX), int))
    levels = np.array([[400, 300, 500, 900], [300, 350, 300, 2200], [700, 600, 800, 1000]])
    rng = np.random.default_rng(2)
    pixels = levels[kinds].transpose(2, 0, 1) * rng.normal(1, 0.25, (4, FIELD_PX, FIELD_PX))
    pixels = pixels.clip(1, 9000).astype(np.uint16)
    pixels[:, :COLLAR_PX] = 0
    return write_tiff(folder / "scene.tif", pixels, nodata=0)


def write_labels(folder: Path) -> Path:
    to_wgs84 = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    edge_m, shapes, properties = BLOCK_PX * PIXEL_M, [], []
    for (row, col), kind in np.ndenumerate(ground()):
        west, north = 500_000 + col * edge_m, 4_860_000 - row * edge_m
        square = shapely.box(west, north - edge_m, west + edge_m, north)
        shapes.append(shapely.transform(square, lambda xy: np.column_stack(to_wgs84.transform(*xy.T))))
        properties.append({"class": KINDS[kind]})
    return write_geojson(folder / "labels.geojson", shapes, properties)


def train(url: str, name: str, architecture: str, bands: tuple[str, ...], **settings: Any) -> None:
    train_segmentation(
        url, name,
        TrainingSettings(**{
            "architecture": architecture, "backbone": "small", "tile_px": 32, "epochs": 2,
            "windows_per_epoch": 32, "batch_size": 8, "split_seed": 1, **settings,
        }),
        band_names=bands, device_name="cpu", report=TrainingReport(lambda _line: None, lambda _epoch: None),
    )  # fmt: skip
