"""The residual graph network on patches: Lode's dense form against torch-geometric's `GCNConv`.

Prediction: a scene of 1,000 km2 at 30 m, patches of 10 x 10 cells every 5 cells. Ours scores the whole
ground; the peer scores patches spread over it, cut and made into graphs beforehand (not counted), in batches
of its `DataLoader`, without gradients; its seconds are per patch, times all patches. Training: an epoch over
864 patches in batches of 64, from the same weights in the same order: forward, cross entropy, backward, fused
Adam.

The peer is measured in two ways: ``edge_index``, as in its documentation, which gives ``ratio`` and
``ratio_training``; and with the normalised adjacency computed once, as a sparse matrix in each graph
(``adj_t``), the fastest way to use it that was found, which gives the ratios ``_sparse``. Batch sizes are
tried first on a part, and the fastest is measured. Both sides compute the same numbers: asserted on
probabilities, and on the losses of the epoch step by step.

Usage: python -m benchmarks.gcn [--side-px 1054] [--runs 3] [--threads 2]
"""

from __future__ import annotations

import copy
import functools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from benchmarks.measure import note, paired_runs, report
from inference.device import choose_device, describe_device
from inference.prospect.graphs import import_torch_geometric, normalised_adjacency, patch_graphs
from inference.prospect.networks import PatchGcn, build_prospect_network
from inference.prospect.patches import cut, positions
from inference.prospect.reference import ReferenceGcn
from inference.prospect.score import score_ground

CHANNELS, PATCH_PX, STRIDE_PX = 39, 10, 5
TRAINING_PATCHES, BATCH = 864, 64
FORMS = ("edge_index", "adj_t")
BATCHES = (16, 64, 256)
TRIED = 512
PROBABILITY_TOLERANCE = 1e-4
LOSS_TOLERANCE = 1e-2  # rounding grows from step to step where Adam divides by the size of small gradients


@dataclass(frozen=True)
class Epoch:
    """Seconds of an epoch, and the loss of each of its steps, (steps,)."""

    seconds: float
    losses: NDArray[np.float64]


def scene(side_px: int) -> NDArray[np.float32]:
    """A ground (channels, side, side) of smooth relief and some noise, standardised."""
    random = np.random.default_rng(5)
    values = np.empty((CHANNELS, side_px, side_px), np.float32)
    for channel in values:
        coarse = random.normal(size=(side_px // 16 + 3, side_px // 16 + 3))
        smooth = ndimage.zoom(coarse, 16, order=1)[:side_px, :side_px]
        channel[:] = smooth + random.normal(scale=0.3, size=smooth.shape)
        channel -= channel.mean()
        channel /= channel.std()
    return values


def network_on(patches: NDArray[np.float32], device: torch.device) -> PatchGcn:
    """The network, with running statistics of these patches and logits of a like size as after training."""
    torch.manual_seed(1)
    network = build_prospect_network("gcn_residual", in_channels=CHANNELS, patch_px=PATCH_PX)
    assert isinstance(network, PatchGcn)
    with torch.no_grad():
        network.head.weight *= 0.05
        for _ in range(30):
            network.train()(torch.from_numpy(patches[:256]))
    return network.to(device).eval()


def graphs_of(patches: NDArray[np.float32], labels: NDArray[np.bool_] | None, form: str) -> list[Any]:
    """Graphs of torch-geometric with what the form brings along."""
    graphs = list(patch_graphs(patches, labels))
    matrix = torch.from_numpy(normalised_adjacency(PATCH_PX)).float()
    for graph in graphs:
        graph.pos = None
        if form == "adj_t":
            graph.edge_index, graph.adj_t = None, matrix.to_sparse_csr()
    return graphs


def batches_of(graphs: list[Any], size: int, device: torch.device) -> Iterator[Any]:
    """Batches as torch-geometric's loader makes them."""
    import_torch_geometric()
    from torch_geometric.loader import DataLoader

    for batch in DataLoader(graphs, batch_size=size):
        yield batch.to(device)


def predict_peer(
    peer: nn.Module, graphs: list[Any], size: int, device: torch.device
) -> tuple[float, NDArray[np.float32]]:
    """Seconds, and probabilities (n,)."""
    begun = time.perf_counter()
    with torch.inference_mode():
        found = [peer(batch).softmax(1)[:, 1].cpu() for batch in batches_of(graphs, size, device)]
    return time.perf_counter() - begun, torch.cat(found).numpy()


def epoch_of(network: nn.Module, steps: Callable[[], Iterator[tuple[Any, Any]]]) -> Epoch:
    """Train a copy of a network for an epoch."""
    network = copy.deepcopy(network).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    losses = []
    begun = time.perf_counter()
    for batch, labels in steps():
        loss = F.cross_entropy(network(batch), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        optimiser.step()
        losses.append(loss.detach())
    values = torch.stack(losses).double().cpu().numpy()
    return Epoch(time.perf_counter() - begun, values)


def peer_for(network: PatchGcn, form: str, device: torch.device) -> nn.Module:
    """The peer with the network's weights."""
    return ReferenceGcn(network, normalize=form == "edge_index").to(device).eval()


def predicting(
    values: NDArray[np.float32], peer_patches: int, runs: int, device: torch.device
) -> dict[str, Any]:
    """Measure prediction."""
    side_px = values.shape[1]
    rows, cols = positions(side_px, side_px, PATCH_PX, STRIDE_PX)
    chosen = np.linspace(0, len(rows) - 1, min(peer_patches, len(rows))).astype(np.int64)
    patches = cut(values, rows[chosen], cols[chosen], PATCH_PX)
    network = network_on(patches, device)
    is_valid = np.ones((side_px, side_px), bool)

    def ours_once() -> tuple[float, NDArray[np.float32]]:
        begun = time.perf_counter()
        scores = score_ground(
            network, values, is_valid, patch_px=PATCH_PX, stride_px=STRIDE_PX, device=device
        )
        return time.perf_counter() - begun, scores.ravel()[chosen]

    ours = ours_once()[1]
    results: dict[str, Any] = {"patches": len(rows), "peer_patches": len(chosen)}
    for form in FORMS:
        peer, graphs = peer_for(network, form, device), graphs_of(patches, None, form)
        tried = {}
        for size in BATCHES:
            seconds = min(predict_peer(peer, graphs[:TRIED], size, device)[0] for _ in range(2))
            tried[size] = round(min(TRIED, len(graphs)) / seconds, 1)
            note(f"peer, {form}, batches of {size}: {tried[size]:.0f} patches a second")
        best = max(tried, key=lambda size: tried[size])
        times = paired_runs(
            lambda: ours_once()[0],
            functools.partial(_scaled, peer, graphs, best, device, len(rows) / len(chosen)),
            runs=runs,
        )
        difference = float(np.abs(ours - predict_peer(peer, graphs, best, device)[1]).max())
        assert difference <= PROBABILITY_TOLERANCE, difference
        results[form] = {
            **times.summary(),
            "ours_patches_per_s": round(len(rows) / times.ours_median_s, 1),
            "peer_patches_per_s": round(len(rows) / times.peer_median_s, 1),
            "peer_batch": best,
            "peer_tried_patches_per_s": tried,
            "largest_difference": difference,
        }
    results["probabilities_from_to"] = [round(float(edge), 4) for edge in (ours.min(), ours.max())]
    return results


def _scaled(peer: nn.Module, graphs: list[Any], size: int, device: torch.device, factor: float) -> float:
    """Seconds the peer takes, times a factor."""
    return predict_peer(peer, graphs, size, device)[0] * factor


def training(values: NDArray[np.float32], runs: int, device: torch.device) -> dict[str, Any]:
    """Measure an epoch."""
    side_px = values.shape[1]
    random = np.random.default_rng(7)
    rows, cols = random.integers(0, side_px - PATCH_PX + 1, size=(2, TRAINING_PATCHES))
    patches = cut(values, rows, cols, PATCH_PX)
    is_positive = patches[:, :, :3].mean((1, 2)) + 0.5 * random.normal(size=TRAINING_PATCHES) > 0.5
    network = network_on(patches, device)
    tensor = torch.from_numpy(patches).to(device)
    labels = torch.from_numpy(is_positive.astype(np.int64)).to(device)

    def our_steps() -> Iterator[tuple[Any, Any]]:
        for begin in range(0, TRAINING_PATCHES, BATCH):
            places = torch.arange(begin, min(begin + BATCH, TRAINING_PATCHES), device=device)
            yield tensor[places], labels[places]

    def peer_steps(graphs: list[Any]) -> Iterator[tuple[Any, Any]]:
        for batch in batches_of(graphs, BATCH, device):
            yield batch, batch.y

    ours = epoch_of(network, our_steps)
    results: dict[str, Any] = {"patches": TRAINING_PATCHES, "batch": BATCH}
    for form in FORMS:
        peer = peer_for(network, form, device)
        steps = functools.partial(peer_steps, graphs_of(patches, is_positive, form))
        times = paired_runs(
            lambda: epoch_of(network, our_steps).seconds,
            functools.partial(_seconds, peer, steps),
            runs=runs,
        )
        differences = np.abs(ours.losses - epoch_of(peer, steps).losses)
        assert differences[0] <= PROBABILITY_TOLERANCE, differences
        assert differences.max() <= LOSS_TOLERANCE, differences
        results[form] = {
            **times.summary(),
            "difference_of_first_loss": float(differences[0]),
            "largest_difference_of_a_loss": float(differences.max()),
        }
    results["losses_from_to"] = [round(float(ours.losses[step]), 4) for step in (0, -1)]
    return results


def _seconds(network: nn.Module, steps: Callable[[], Iterator[tuple[Any, Any]]]) -> float:
    return epoch_of(network, steps).seconds


@click.command()
@click.option("--side-px", default=1054, show_default=True, help="Edge of the scene, cells of 30 m.")
@click.option("--peer-patches", default=2048, show_default=True, help="Patches the peer scores in a run.")
@click.option("--runs", default=3, show_default=True, help="Counted runs of each side.")
@click.option("--threads", type=int, help="Of both sides on a processor. [default: as PyTorch has]")
@click.option("--device", "device_name", help="cpu or cuda. [default: CUDA if any]")
def main(side_px: int, peer_patches: int, runs: int, threads: int | None, device_name: str | None) -> None:
    """Measure both sides and print the result as JSON on the last line."""
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support|Sparse invariant checks")
    if threads is not None:
        torch.set_num_threads(threads)
    device = choose_device(device_name)
    values = scene(side_px)
    prediction = predicting(values, peer_patches, runs, device)
    epoch = training(values, runs, device)
    report(
        {
            "benchmark": "gcn",
            "measured": "seconds for all patches of a scene, the peer's per patch times all, and of an epoch",
            "peer": "torch-geometric GCNConv and DataLoader",
            "ratio": prediction["edge_index"]["ratio"],
            "ratio_training": epoch["edge_index"]["ratio"],
            "ratio_sparse": prediction["adj_t"]["ratio"],
            "ratio_training_sparse": epoch["adj_t"]["ratio"],
            "tolerances": {"probability": PROBABILITY_TOLERANCE, "loss": LOSS_TOLERANCE},
            "prediction": prediction,
            "training": epoch,
            "side_px": side_px,
            "threads": torch.get_num_threads(),
            "device": describe_device(device),
            "torch": torch.__version__,
        }
    )


if __name__ == "__main__":
    main()
