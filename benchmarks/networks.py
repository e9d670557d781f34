"""Throughput of every network, in training and in prediction, as a share of what the device can do.

Windows of random numbers lie in the device's memory, so that nothing but the network is measured: channels
last, bf16 on a GPU, fp32 on a CPU, as in training and use. A step of training is forward, loss, backward and
AdamW. Operations are counted by PyTorch (a multiplication with its addition is two); the device's peak is
that of a large matrix product in the same number format, measured in the same run, so that the share says how
much the network leaves unused, whatever else runs on the machine.

Usage: python -m benchmarks.networks [--backbone resnet50] [--tile-px 256] [--batch 16] [--compile]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click
import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import note, report
from inference.device import choose_device, describe_device, half_precision
from inference.networks import build_network
from inference.networks.registry import ARCHITECTURES, choose_backbone
from inference.segmentation_model import CLASS_CODES, on_device
from inference.training.loss import SegmentationLoss

MATRIX = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Throughput:
    """Of one network.

    Attributes:
        network: its architecture.
        backbone: what it stands on.
        parameters: how many.
        gflop_per_window: operations of one window, forward only.
        training_per_s, prediction_per_s: windows a second, medians.
        training_share, prediction_share: operations a second as a share of the device's peak.

    """

    network: str
    backbone: str
    parameters: int
    gflop_per_window: float
    training_per_s: float
    prediction_per_s: float
    training_share: float
    prediction_share: float


def seconds_of(work: Callable[[], object], device: torch.device, runs: int) -> float:
    """Median seconds of a piece of work, after a first run that is not counted."""
    taken = []
    for _ in range(runs + 1):
        _wait_for(device)
        begun = time.perf_counter()
        work()
        _wait_for(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_flops(device: torch.device, runs: int) -> float:
    """Operations a second of a large matrix product, bf16 on a GPU, fp32 on a CPU."""
    size = MATRIX[device.type]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds_of(lambda: left @ right, device, runs)


def throughput(
    architecture: str,
    backbone: str,
    *,
    bands: int,
    tile_px: int,
    batch: int,
    runs: int,
    device: torch.device,
    is_compiled: bool,
    peak: float,
) -> Throughput:
    """Measure one network; the windows of a batch share a step."""
    name = choose_backbone(architecture, backbone if architecture != "unet" else _encoder(backbone))
    network = on_device(
        build_network(architecture, in_channels=bands, classes=len(CLASS_CODES), backbone=name), device
    )
    tiles = torch.randn(batch, bands, tile_px, tile_px, device=device).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(0, len(CLASS_CODES), (batch, tile_px, tile_px), device=device).byte()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(tiles[:1])
    flop = counter.get_total_flops()
    runner: Callable[[Tensor], Tensor] = torch.compile(network) if is_compiled else network
    ones = np.ones(len(CLASS_CODES))
    loss = SegmentationLoss(range(len(CLASS_CODES)), CLASS_CODES, ones, 0 * ones).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def predict() -> Tensor:
        with torch.inference_mode(), half_precision(device):
            return torch.softmax(runner(tiles).float(), dim=1)

    def step() -> None:
        with half_precision(device):
            logits = runner(tiles)
        optimiser.zero_grad(set_to_none=True)
        value: Tensor = loss(logits, labels)
        value.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimiser.step()

    network.eval()
    predicting = seconds_of(predict, device, runs)
    network.train()
    training = seconds_of(step, device, runs)
    return Throughput(
        network=architecture,
        backbone=name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        gflop_per_window=round(flop / 1e9, 2),
        training_per_s=round(batch / training, 1),
        prediction_per_s=round(batch / predicting, 1),
        # the backward pass takes twice the operations of the forward pass
        training_share=round(3 * flop * batch / training / peak, 3),
        prediction_share=round(flop * batch / predicting / peak, 3),
    )


def _encoder(backbone: str) -> str:
    """The encoder of the U-Net that goes with a backbone."""
    return "small" if backbone == "small" else "plain"


@click.command()
@click.option("--network", "networks", multiple=True, help="One; again for more. [default: all seven]")
@click.option("--backbone", default="small", show_default=True, help="Of all; U-Net has encoders of its own.")
@click.option("--bands", default=4, show_default=True, help="Input bands.")
@click.option("--tile-px", default=128, show_default=True, help="Window edge, pixels.")
@click.option("--batch", default=16, show_default=True, help="Windows in a step.")
@click.option("--runs", default=5, show_default=True, help="Counted runs of each.")
@click.option("--compile/--no-compile", "is_compiled", default=False, help="Compile the networks.")
@click.option("--device", "device_name", help="cpu or cuda. [default: CUDA if any]")
def main(
    networks: tuple[str, ...],
    backbone: str,
    bands: int,
    tile_px: int,
    batch: int,
    runs: int,
    is_compiled: bool,
    device_name: str | None,
) -> None:
    """Measure the networks and print the result as JSON on the last line."""
    device = choose_device(device_name)
    peak = peak_flops(device, runs)
    note(f"{describe_device(device)}: {peak / 1e12:.2f} TFLOP/s in a matrix product")
    rows = []
    for architecture in networks or ARCHITECTURES:
        if architecture == "ensemble":
            continue
        row = throughput(
            architecture, backbone, bands=bands, tile_px=tile_px, batch=batch, runs=runs, device=device,
            is_compiled=is_compiled, peak=peak,
        )  # fmt: skip
        rows.append(row)
        note(
            f"{row.network} ({row.backbone}): {row.training_per_s:g} windows/s in training "
            f"({row.training_share:.1%} of the peak), {row.prediction_per_s:g} in prediction "
            f"({row.prediction_share:.1%})"
        )
    report(
        {
            "benchmark": "networks",
            "measured": "windows a second, and operations as a share of the device's peak",
            "rows": [asdict(row) for row in rows],
            "tile_px": tile_px,
            "batch": batch,
            "bands": bands,
            "compiled": is_compiled,
            "peak_tflops": round(peak / 1e12, 3),
            "device": describe_device(device),
            "torch": torch.__version__,
        }
    )


if __name__ == "__main__":
    main()
