"""Prospectivity without labels: training and scoring of an area against one raster window read per cell.

Ours holds a study area in memory: training cuts its windows there, and scoring slides them over the area,
hides all groups of patches but one in turn and takes what was expected of every hidden cell of a window at
once (``fit_network`` and ``predict``). The peer does what a data set of raster windows does: for each cell it
reads the window round it from every layer's GeoTIFF (float32, tiles of 256, DEFLATE, files held open), hides
the middle patch and asks the same network for the cell in the middle; it trains on windows that it reads in
the same way. It does so for every n-th cell (``--every``), in batches, and its cells per second hold for all.
``ratio`` is that of cells scored per second, ``ratio_training`` that of windows learned from per second. A
window of ours is counted once for each of its groups, as the network sees it.

Unless told ``--no-province``, a whole province is scored too: 400,000 cells, 25 layers, from values in memory
to the expected contents. The area is drawn at random (simulated).

Usage: python -m benchmarks.evidence [--preset default] [--side 256] [--every 40] [--threads 2] [--runs 3]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window
from scipy import ndimage

from benchmarks.measure import LEAST_RUNS, note, paired_runs, report
from db.raster import Grid
from inference.device import choose_device, describe_device
from inference.evidence.fitting import FittedNetwork, fit_network, mean_over_sources, reconstruction_loss
from inference.evidence.masks import as_cells, random_masks
from inference.evidence.networks import network_of
from inference.evidence.predicting import predict
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings

CELL_M = 500.0
PROVINCE_PX = (632, 633)
"""Some 400,000 cells."""
PEER_BATCH = 64
_SMALL = EvidenceSettings(width=64, depth=2, heads=4, decoder_depth=1)
_PRESETS = {"default": EvidenceSettings(), "small": _SMALL}


def draw_ground(height: int, width: int, layers: int) -> EvidenceGround:
    """Smooth random layers, most of them geochemistry, two of geophysics and three of geology."""
    random = np.random.default_rng(5)
    values = np.stack(
        [ndimage.gaussian_filter(random.normal(size=(height, width)), 3) for _ in range(layers)]
    )
    values = (values / values.std(axis=(1, 2), keepdims=True)).astype(np.float32)
    kinds = ["geochemistry"] * (layers - 5) + ["geophysics"] * 2 + ["geology"] * 3
    channels = tuple(
        EvidenceChannel(f"{kind} {number:02}", kind, None, None, "none", 0.0, 1.0, True)
        for number, kind in enumerate(kinds)
    )
    every = np.ones((height, width), bool)
    return EvidenceGround(
        area="drawn",
        evidence_area_id=1,
        grid=Grid(32650, 500_000.0, 3_000_000.0, CELL_M, CELL_M, width, height),
        channels=channels,
        values=values,
        raw=values,
        is_known=np.broadcast_to(every, values.shape).copy(),
        is_judged=every,
    )


@dataclass(frozen=True)
class WindowFiles:
    """The peer's data: a GeoTIFF for each layer, held open."""

    files: tuple[Any, ...]
    order: tuple[int, ...]
    window_px: int

    def windows(self, places: Sequence[tuple[int, int]]) -> torch.Tensor:
        """(n, layers, window_px, window_px), read one by one; NaN beyond the edges becomes 0."""
        edge = self.window_px
        found = np.empty((len(places), len(self.order), edge, edge), np.float32)
        for place, (row, col) in enumerate(places):
            for layer, number in enumerate(self.order):
                window = Window(col, row, edge, edge)
                found[place, layer] = self.files[number].read(1, window=window, boundless=False)
        return torch.from_numpy(np.nan_to_num(found))


def write_files(folder: Path, ground: EvidenceGround) -> list[Path]:
    """A GeoTIFF for each layer."""
    grid = ground.grid
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "crs": f"EPSG:{grid.srid}", "tiled": True,
        "height": grid.height_px, "width": grid.width_px, "blockxsize": 256, "blockysize": 256,
        "compress": "deflate", "transform": Affine(CELL_M, 0.0, grid.origin_x, 0.0, -CELL_M, grid.origin_y),
    }  # fmt: skip
    paths = []
    for channel, values in zip(ground.channels, ground.values, strict=True):
        paths.append(folder / f"{channel.name.replace(' ', '_')}.tif")
        with rasterio.open(paths[-1], "w", **profile) as file:
            file.write(values, 1)
    return paths


def peer_cells(fitted: FittedNetwork, data: WindowFiles, places: NDArray[np.int64]) -> None:
    """Ask the network for single cells: the middle patch of a window of their own is hidden."""
    settings = fitted.settings
    edge, middle = settings.window_px // settings.patch_px, settings.window_px // 2
    sources = len(fitted.network.layout.kinds)
    with torch.inference_mode():
        for begin in range(0, len(places), PEER_BATCH):
            part = places[begin : begin + PEER_BATCH]
            values = data.windows([(int(row) - middle, int(col) - middle) for row, col in part])
            known = torch.ones(len(part), sources, settings.window_px, settings.window_px)
            is_hidden = torch.zeros(len(part), edge, edge, dtype=torch.bool)
            is_hidden[:, edge // 2, edge // 2] = True
            answers = fitted.network(values, known, is_hidden)
            answers[:, :, middle, middle].sum().item()


def peer_training(
    ground: EvidenceGround, settings: EvidenceSettings, data: WindowFiles, windows: int
) -> None:
    """Train on windows that are read from the files, one by one."""
    network = network_of(settings, ground.channels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    random = np.random.default_rng(3)
    edge, sizes = settings.window_px, network.layout.hidden_sizes
    highest = (ground.grid.height_px - edge, ground.grid.width_px - edge)
    for _ in range(windows // settings.batch_size):
        places = random.integers(0, highest, (settings.batch_size, 2))
        values = data.windows([(int(row), int(col)) for row, col in places])
        known = torch.ones(len(places), len(network.layout.kinds), edge, edge)
        masks = random_masks(random, len(places), edge // settings.patch_px, 0.6, 0.75)
        is_hidden = torch.from_numpy(masks)
        is_asked = as_cells(is_hidden, settings.patch_px)[:, None].expand(-1, sum(sizes), -1, -1)
        expected = network(values, known, is_hidden)
        loss = mean_over_sources(*reconstruction_loss(expected, values[:, : sum(sizes)], is_asked, sizes))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimiser.step()


def _seconds(work: Any, *arguments: Any) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begun


@click.command()
@click.option("--preset", type=click.Choice(list(_PRESETS)), default="default", help="Size of the network.")
@click.option("--side", type=int, default=256, help="Edge of the area, cells.")
@click.option("--layers", type=click.IntRange(min=6), default=25, help="Layers of evidence.")
@click.option("--every", type=int, default=40, help="The peer scores every n-th cell of a row and column.")
@click.option("--windows", type=int, default=160, help="Windows that each side learns from in a run.")
@click.option("--threads", type=int, default=2, help="Of the processor, for both sides.")
@click.option("--runs", type=int, default=LEAST_RUNS, help="Pairs of runs.")
@click.option("--province/--no-province", default=True, help="Score 400,000 cells as well.")
def main(
    preset: str, side: int, layers: int, every: int, windows: int, threads: int, runs: int, province: bool
) -> None:
    """Run the benchmark and print its result as JSON."""
    torch.set_num_threads(threads)
    device = choose_device("cpu")
    settings = replace(_PRESETS[preset], windows=windows, evaluations=1)
    ground = draw_ground(side, side, layers)
    fitted = fit_network(ground, settings, 1, device)
    half = settings.window_px // 2
    inner = np.arange(half, side - half, every)
    places = np.stack(np.meshgrid(inner, inner, indexing="ij"), axis=-1).reshape(-1, 2)
    with tempfile.TemporaryDirectory() as folder:
        files = tuple(rasterio.open(path) for path in write_files(Path(folder), ground))
        data = WindowFiles(files, tuple(fitted.network.layout.order), settings.window_px)
        note(f"scoring {side * side} cells, the peer {len(places)} of them")
        scoring = paired_runs(
            lambda: _seconds(predict, fitted, ground),
            lambda: _seconds(peer_cells, fitted, data, places),
            runs=runs,
        )
        note(f"training on {windows} windows")
        training = paired_runs(
            lambda: float(fit_network(ground, settings, 1, device).history[-1]["seconds"]),
            lambda: _seconds(peer_training, ground, settings, data, windows),
            runs=runs,
        )
        for file in files:
            file.close()
    # windows slid by half a window over the area and its margin, each seen once for each group
    seen = settings.groups * (2 * side // settings.window_px + 1) ** 2
    result: dict[str, object] = {
        "benchmark": "evidence",
        "preset": preset,
        "device": describe_device(device),
        "threads": threads,
        "ours_cells_per_s": round(side * side / scoring.ours_median_s),
        "peer_cells_per_s": round(len(places) / scoring.peer_median_s, 1),
        "ratio": round(side * side / scoring.ours_median_s / (len(places) / scoring.peer_median_s), 1),
        "ours_scoring_windows_per_s": round(seen / scoring.ours_median_s, 1),
        "ours_windows_per_s": round(windows / training.ours_median_s, 1),
        "peer_windows_per_s": round(windows / training.peer_median_s, 1),
        "ratio_training": round(training.ratio, 2),
        "runs": runs,
    }
    if province:
        height, width = PROVINCE_PX
        note(f"scoring a province of {height * width} cells and {layers} layers")
        whole = draw_ground(height, width, layers)
        taken = _seconds(predict, fitted, whole)
        result |= {"province_cells": height * width, "province_layers": layers, "province_s": round(taken, 1)}
    report(result)


if __name__ == "__main__":
    main()
