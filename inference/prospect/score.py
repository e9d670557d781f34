"""Probabilities of ore of patches of ground: of given ones, or of all of a ground."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from db.errors import UsageError
from inference.device import BatchRunner
from inference.prospect.block_scorer import BlockScorer
from inference.prospect.folded import fold
from inference.prospect.networks import PatchGcn
from inference.prospect.patches import LEAST_VALID, cut, positions, window_counts

STRIP_ROWS = 64
"""Rows of the ground whose channels are mixed at once, about so many."""
CPU_BLOCK, GPU_BLOCK = 24, 4096
"""Patches at once: what is between two layers of them stays in a processor's cache."""
Progress = Callable[[float], None]


def score_patches(
    network: nn.Module,
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    patch_px: int,
    device: torch.device,
    batch: int,
) -> NDArray[np.float32]:
    """Probability of ore (n,) of given patches; any network.

    Args:
        network: (n, nodes, channels) -> logits (n, 2); it is put into evaluation mode.
        values: (channels, height, width), standardised, without NaN.
        rows: (n,) first row of each patch.
        cols: (n,) first column.
        patch_px: edge of a patch, cells.
        device: where the network is.
        batch: patches at once, fewer where memory runs out.

    Raises:
        UsageError: not enough memory for one patch.

    """
    network.eval()

    def probabilities(places: Tensor) -> Tensor:
        top, left = places.numpy().T
        patches = torch.from_numpy(cut(values, top, left, patch_px))
        logits: Tensor = network(patches.to(device))
        return logits.float().softmax(1)[:, 1].cpu()

    runner = BatchRunner(probabilities, batch)
    if len(rows) == 0:
        return np.zeros(0, np.float32)
    with torch.inference_mode():
        return np.asarray(runner(torch.from_numpy(np.column_stack((rows, cols)))).numpy(), np.float32)


def score_ground(
    network: nn.Module,
    values: NDArray[np.float32],
    is_valid: NDArray[np.bool_],
    *,
    patch_px: int,
    stride_px: int,
    device: torch.device,
    progress: Progress | None = None,
    block: int | None = None,
) -> NDArray[np.float32]:
    """Probability of ore of all patches that fit on a ground, ``stride_px`` apart from its upper left corner.

    Where the ground is no whole number of strides and a patch, fewer than ``stride_px`` rows below and
    columns to the right lie in no patch.

    Graph networks take the same numbers, to 1e-5, from less work: the channels of a cell are mixed by the
    weights of layer 1 for all patches at once, strip by strip; the adjacency is a box of 3 x 3 cells with
    weights; the rest see `FoldedGcn`. Beside the ground some tens of MB of memory are taken, and more on a
    GPU.

    Args:
        network: (n, nodes, channels) -> logits (n, 2); it is put into evaluation mode.
        values: (channels, height, width), standardised, without NaN; cells without value are 0.
        is_valid: (height, width), cells that count.
        patch_px: edge of a patch, cells.
        stride_px: cells between two patches.
        device: where the network is.
        progress: called now and then with the share that is done, 0..1.
        block: patches at once, fewer where memory runs out; None: by device.

    Returns:
        (positions down, positions across), NaN where fewer than `LEAST_VALID` of a patch's cells are valid.

    Raises:
        UsageError: no patch fits, a stride below 1, a network for patches of another size, NaN among the
            values, not enough memory for one patch.

    """
    height, width = is_valid.shape
    if stride_px < 1:
        raise UsageError(f"stride_px is {stride_px}: it must be at least 1")
    if values.shape[1:] != is_valid.shape:
        raise UsageError(f"got values of shape {values.shape} and cells of shape {is_valid.shape}")
    rows, cols = positions(height, width, patch_px, stride_px)
    is_full = window_counts(is_valid, rows, cols, patch_px) >= LEAST_VALID * patch_px**2
    scores = np.full(len(rows), np.nan, np.float32)
    wanted = np.flatnonzero(is_full)
    size = block or (GPU_BLOCK if device.type == "cuda" else CPU_BLOCK)
    if isinstance(network, PatchGcn):
        parts = _score_gcn(network.eval(), values, rows, cols, wanted, patch_px, device, size)
    else:
        parts = _score_any(network, values, rows, cols, wanted, patch_px, device, size)
    done = 0
    for which, found in parts:
        if not np.isfinite(found).all():
            raise UsageError("the values of the ground hold NaN or infinity: put 0 where a cell has no value")
        scores[which] = found
        done += len(which)
        if progress is not None:
            progress(done / len(wanted))
    across = (width - patch_px) // stride_px + 1
    return scores.reshape(-1, across)


Part = tuple[NDArray[np.int64], NDArray[np.float32]]


def _score_any(
    network: nn.Module,
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    wanted: NDArray[np.int64],
    patch_px: int,
    device: torch.device,
    block: int,
) -> Iterator[Part]:
    """Patches with their probabilities, in blocks, by the network itself."""
    for begin in range(0, len(wanted), block):
        which = wanted[begin : begin + block]
        yield which, score_patches(network, values, rows[which], cols[which], patch_px, device, block)


def _score_gcn(
    network: PatchGcn,
    values: NDArray[np.float32],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    wanted: NDArray[np.int64],
    patch_px: int,
    device: torch.device,
    block: int,
) -> Iterator[Part]:
    """Patches with their probabilities, strip by strip; the fast way."""
    if (values.shape[0], patch_px) != (network.in_channels, network.patch_px):
        raise UsageError(
            f"got {values.shape[0]} channels in patches of {patch_px} cells: the network was built for "
            f"{network.in_channels} channels in patches of {network.patch_px} cells"
        )
    scorer = BlockScorer(fold(network, device), device, block)
    for which in _strips(rows, wanted):
        top = rows[which[0]]
        strip = values[:, top : rows[which[-1]] + patch_px]
        yield which, scorer.score(strip, np.column_stack((rows[which] - top, cols[which])))


def _strips(rows: NDArray[np.int64], wanted: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The wanted positions, which come row by row, in groups of about `STRIP_ROWS` rows of the ground."""
    begin = 0
    while begin < len(wanted):
        end = int(np.searchsorted(rows[wanted], rows[wanted[begin]] + STRIP_ROWS))
        yield wanted[begin:end]
        begin = end
