"""Samples a second in training from the database, and the share of time in which the network waits for them.

A simulated district is ingested into a benchmark database and a network is trained on it as `lode train
segmentation` does it: windows are read, decoded and normalised in a thread ahead of the network, and changed
in batches where the network computes. The figures are of the steps alone, without the validation after each
epoch. In the first epoch tiles come from the database, later ones mostly from the reader's cache; both are
told. The network waits when it asks for a batch that is not there yet.

Usage: python -m benchmarks.training [--backbone small] [--tile-px 128] [--batch 16] [--windows 256]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import torch

from benchmarks.measure import benchmark_database, note, report
from inference.device import describe_device
from inference.training.processes import training_device
from inference.training.segmentation import TrainingReport, train_segmentation
from inference.training.settings import TrainingSettings
from inference.training.trainer import Epoch
from ingest.simulate.district import simulate_district


def ingest_district(url: str, folder: Path, side_px: int) -> list[str]:
    """Simulate a district and bring it in with its labels; names of its scenes."""
    district = simulate_district(folder, seed=7, width_px=side_px, height_px=side_px)
    for scene in district.scenes:
        _lode(
            url, "ingest", "scene", str(scene.path), "--sensor", scene.sensor, "--product", scene.product,
            "--acquired-on", scene.acquired_on.isoformat(),
        )  # fmt: skip
    _lode(url, "ingest", "labels", str(district.labels))
    return [scene.product for scene in district.scenes]


def _lode(url: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "lode", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "LODE_DATABASE_URL": url},
    )


def figures(epochs: list[Epoch]) -> dict[str, object]:
    """Samples per second and share of waiting: of the first epoch, and medians of the others."""
    rates = [epoch.windows / epoch.trained_s for epoch in epochs]
    waits = [epoch.waited_s / epoch.trained_s for epoch in epochs]
    return {
        "samples_per_s": round(statistics.median(rates[1:]), 1),
        "waiting_share": round(statistics.median(waits[1:]), 4),
        "first_epoch_samples_per_s": round(rates[0], 1),
        "first_epoch_waiting_share": round(waits[0], 4),
        "samples_per_s_by_epoch": [round(rate, 1) for rate in rates],
    }


@click.command()
@click.option("--side-px", default=1024, show_default=True, help="Edge of the district, pixels of 2 m.")
@click.option("--architecture", default="se_cot_deeplabv3plus", show_default=True, help="Network.")
@click.option("--backbone", default="small", show_default=True, help="Its backbone.")
@click.option("--tile-px", default=128, show_default=True, help="Window edge, pixels.")
@click.option("--batch", default=16, show_default=True, help="Windows in a step.")
@click.option("--windows", default=256, show_default=True, help="Windows in an epoch.")
@click.option("--epochs", type=click.IntRange(min=2), default=4, show_default=True, help="Epochs.")
@click.option("--device", "device_name", help="cpu or cuda. [default: CUDA if any]")
def main(
    side_px: int,
    architecture: str,
    backbone: str,
    tile_px: int,
    batch: int,
    windows: int,
    epochs: int,
    device_name: str | None,
) -> None:
    """Measure the data path of training and print the result as JSON on the last line."""
    settings = TrainingSettings(
        architecture=architecture,
        backbone=backbone,
        tile_px=tile_px,
        batch_size=batch,
        windows_per_epoch=windows,
        epochs=epochs,
    )
    done: list[Epoch] = []

    def tell(epoch: Epoch) -> None:
        done.append(epoch)
        note(
            f"epoch {epoch.epoch}: {epoch.windows} windows in {epoch.trained_s:.2f} s, "
            f"waited {epoch.waited_s:.2f} s"
        )

    with benchmark_database() as url, tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        products = ingest_district(url, Path(folder), side_px)
        train_segmentation(
            url, "benchmark", settings, device_name=device_name, report=TrainingReport(note, tell)
        )
    report(
        {
            "benchmark": "training",
            "measured": "windows shown to the network a second of training steps, and share of that time "
            "in which it waited for windows",
            **figures(done),
            "network": f"{architecture}, {settings.chosen_backbone}",
            "tile_px": tile_px,
            "batch": batch,
            "windows_per_epoch": windows,
            "scenes": len(products),
            "side_px": side_px,
            "device": describe_device(training_device(device_name)),
            "torch": torch.__version__,
        }
    )


if __name__ == "__main__":
    main()
