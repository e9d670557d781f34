"""A scene from pixels to class map: ``predict_scene`` against MONAI's SlidingWindowInferer.

Both classify the same scene with the same network (random weights), windows, overlap and batch size. Ours
reads the scene in strips, blends windows and hands out finished rows; the peer takes the whole normalised
scene and gives the blended logits of all of it, here with Gaussian weights. Each run is a process of its own,
so that the memory told is its own: the highest resident size minus that before the scene was touched. Seconds
are from the pixels to the class map, without start and imports. The two blend with other weights, so that
class maps are alike but not equal; the share of equal pixels is told.

Usage: python -m benchmarks.predict [--side-px 2048] [--tile-px 128] [--runs 3]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import note, paired_runs, report, status_bytes
from db.raster import Grid
from inference.device import choose_device, describe_device, half_precision
from inference.networks import build_network
from inference.normalisation import Normalisation
from inference.predict import default_batch_size, predict_scene
from inference.scene_source import ArrayReader, SceneSource
from inference.segmentation_model import CLASS_CODES, SegmentationModel, on_device

BANDS = 4
MEAN, STD = 2000.0, 700.0


def write_scene(path: Path, side_px: int) -> None:
    """A scene (bands, side, side) of smooth relief and noise, digital numbers of 16 bits, without a gap."""
    random = np.random.default_rng(5)
    coarse = random.normal(size=(BANDS, side_px // 32 + 2, side_px // 32 + 2))
    smooth = np.kron(coarse, np.ones((32, 32)))[:, :side_px, :side_px]
    noise = random.normal(scale=0.4, size=smooth.shape)
    np.save(path, np.clip(MEAN + STD * (smooth + noise), 1, 60_000).astype(np.uint16))


def network_of(device: torch.device) -> torch.nn.Module:
    """The same network in every process."""
    torch.manual_seed(1)
    network = build_network("se_cot_deeplabv3plus", in_channels=BANDS, backbone="small")
    return on_device(network, device).eval()


def predict_ours(
    path: Path, network: torch.nn.Module, device: torch.device, tile_px: int, overlap_px: int
) -> NDArray[np.uint8]:
    """Class map (height, width) by Lode."""
    pixels = np.load(path, mmap_mode="r")
    names = tuple(f"b{band}" for band in range(BANDS))
    flat = (MEAN,) * BANDS
    model = SegmentationModel(
        model_id=0,
        name="benchmark",
        network=network,
        device=device,
        band_names=names,
        normalisation=Normalisation(names, flat, (STD,) * BANDS, ((MEAN, MEAN),) * BANDS, flat),
        class_codes=CLASS_CODES,
        mapped_codes=CLASS_CODES,
        tile_px=tile_px,
        resolution_m=2.0,
        processing_level="digital_number",
    )
    grid = Grid(32645, 500_000.0, 4_860_000.0, 2.0, 2.0, pixels.shape[2], pixels.shape[1])
    source = SceneSource("benchmark", ArrayReader(pixels, grid, None), tuple(range(1, BANDS + 1)), 0.0, 1.0)
    strips = predict_scene(source, model, overlap_px=overlap_px, with_probabilities=False)
    return np.concatenate([strip.class_map for strip in strips])


def predict_peer(
    path: Path, network: torch.nn.Module, device: torch.device, tile_px: int, overlap_px: int
) -> NDArray[np.uint8]:
    """Class map (height, width) by MONAI."""
    from monai.inferers.inferer import SlidingWindowInferer

    inferer = SlidingWindowInferer(
        roi_size=(tile_px, tile_px),
        sw_batch_size=default_batch_size(tile_px, device),
        overlap=overlap_px / tile_px,
        mode="gaussian",
    )
    scene = torch.from_numpy(((np.load(path).astype(np.float32) - MEAN) / STD)[None]).to(device)
    with torch.inference_mode(), half_precision(device):
        logits = inferer(scene, network)
    return np.asarray(logits[0].argmax(dim=0).to(torch.uint8).cpu())


def run_once(side: str, task: dict[str, Any]) -> None:
    """Predict once in this process; prints seconds and bytes as JSON, and writes the class map."""
    device = choose_device(task["device"])
    network = network_of(device)
    if side == "peer":
        import monai.inferers  # noqa: F401 - before memory is looked at
    with torch.inference_mode(), half_precision(device):
        network(torch.zeros(1, BANDS, task["tile_px"], task["tile_px"], device=device))
    before = status_bytes("VmRSS") or 0
    begun = time.perf_counter()
    predict = predict_ours if side == "ours" else predict_peer
    classes = predict(Path(task["scene"]), network, device, task["tile_px"], task["overlap_px"])
    seconds = time.perf_counter() - begun
    held = (status_bytes("VmHWM") or 0) - before
    np.save(Path(task["scene"]).with_name(f"{side}.npy"), classes)
    print(json.dumps({"seconds": seconds, "bytes": held}))


def measured(side: str, task: dict[str, Any]) -> dict[str, float]:
    """What `run_once` says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.predict", "--one", side, "--task", json.dumps(task)],
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


@click.command()
@click.option("--side-px", default=2048, show_default=True, help="Edge of the scene, pixels.")
@click.option("--tile-px", default=128, show_default=True, help="Window edge, pixels.")
@click.option("--runs", default=3, show_default=True, help="Counted runs of each side.")
@click.option("--device", "device_name", help="cpu or cuda. [default: CUDA if any]")
@click.option("--one", hidden=True)
@click.option("--task", hidden=True)
def main(
    side_px: int, tile_px: int, runs: int, device_name: str | None, one: str | None, task: str | None
) -> None:
    """Measure both sides and print the result as JSON on the last line."""
    if one is not None and task is not None:
        run_once(one, json.loads(task))
        return
    held: dict[str, list[float]] = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="lode-benchmark-") as folder:
        scene = Path(folder) / "scene.npy"
        write_scene(scene, side_px)
        given = {
            "scene": str(scene),
            "tile_px": tile_px,
            "overlap_px": tile_px // 4,
            "device": device_name,
        }

        def seconds(side: str) -> float:
            figures = measured(side, given)
            held[side].append(figures["bytes"])
            return figures["seconds"]

        times = paired_runs(lambda: seconds("ours"), lambda: seconds("peer"), runs=runs)
        ours, peer = (np.load(Path(folder) / f"{side}.npy") for side in ("ours", "peer"))
    memory = {side: float(np.median(values)) for side, values in held.items()}
    note(f"memory: ours {memory['ours'] / 1e6:.0f} MB, peer {memory['peer'] / 1e6:.0f} MB")
    report(
        {
            "benchmark": "predict",
            "measured": "seconds from pixels to class map; memory above that before the scene was touched",
            "peer": "MONAI SlidingWindowInferer",
            **times.summary(),
            "ours_bytes": memory["ours"],
            "peer_bytes": memory["peer"],
            "memory_ratio": round(memory["ours"] / memory["peer"], 3),
            "equal_pixels": round(float((ours == peer).mean()), 4),
            "side_px": side_px,
            "tile_px": tile_px,
            "overlap_px": tile_px // 4,
            "device": describe_device(choose_device(device_name)),
        }
    )


if __name__ == "__main__":
    main()
