"""Loops over patches on a processor: the adjacency as two passes of three weights, fused with the rest.

S X of a patch takes 6 multiplications for each node and channel that way, where the 100 x 100 matrix takes
100; and a node's channels lie beside each other, so that each step is one of whole vectors. All arrays are
float32 and contiguous: patches (n, patch_px, patch_px, channels), ``axis`` (3, patch_px) of `axis_bands`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from db.jit import compiled
from inference.prospect.graphs import axis_weights

Float32Array = NDArray[np.float32]


def axis_bands(patch_px: int) -> Float32Array:
    """Weights (3, patch_px) of the place before, of the place itself and of that behind, along one axis.

    Where nothing lies before or behind the weight is 0.
    """
    weights = axis_weights(patch_px)
    bands = np.zeros((3, patch_px), np.float32)
    bands[0, 1:] = weights.diagonal(-1)
    bands[1] = weights.diagonal()
    bands[2, :-1] = weights.diagonal(1)
    return bands


@compiled
def smooth(values: Float32Array, axis: Float32Array, out: Float32Array) -> None:
    """Write S X of every patch of ``values`` to ``out``, which is another array.

    Where one of them has more channels than the other, the first ones only are read or written.
    """
    patches, edge = values.shape[:2]
    channels = min(values.shape[3], out.shape[3])
    along = np.empty((edge, edge, channels), np.float32)
    for patch in range(patches):
        _along_rows(values[patch], 0, 0, axis, along)
        for row in range(edge):
            above, below = max(row - 1, 0), min(row + 1, edge - 1)
            before, same, behind = axis[0, row], axis[1, row], axis[2, row]
            for col in range(edge):
                for k in range(channels):
                    out[patch, row, col, k] = (
                        before * along[above, col, k]
                        + same * along[row, col, k]
                        + behind * along[below, col, k]
                    )


@compiled
def first_layer(
    mixed: Float32Array,
    places: NDArray[np.int64],
    axis: Float32Array,
    bias: Float32Array,
    shortcut_bias: Float32Array,
    hidden: Float32Array,
    smoothed: Float32Array,
    sums: Float32Array,
) -> None:
    """Layer 1 of patches of the ground whose channels are mixed already, and S of what comes out.

    Args:
        mixed: (rows, cols, channels) X W of cells; with a shortcut 2 x channels, X W of the shortcut behind.
        places: (n, 2) row and column of the first cell of each patch.
        axis: weights.
        bias: (channels,) added to S X W before the ReLU.
        shortcut_bias: (channels,) of the shortcut; (0,): there is none.
        hidden: output, H1 = ReLU(S X W + b) and the shortcut added.
        smoothed: output, S H1.
        sums: (n, channels) output, H1 added up over the nodes.

    """
    patches, edge, _, channels = hidden.shape
    has_shortcut = len(shortcut_bias) > 0
    along = np.empty((edge, edge, channels), np.float32)
    for patch in range(patches):
        top, left = places[patch, 0], places[patch, 1]
        _along_rows(mixed, top, left, axis, along)
        total = sums[patch]
        total[:] = 0
        for row in range(edge):
            above, below = max(row - 1, 0), min(row + 1, edge - 1)
            before, same, behind = axis[0, row], axis[1, row], axis[2, row]
            for col in range(edge):
                here = hidden[patch, row, col]
                for k in range(channels):
                    value = (
                        before * along[above, col, k]
                        + same * along[row, col, k]
                        + behind * along[below, col, k]
                        + bias[k]
                    )
                    here[k] = max(value, np.float32(0))
                if has_shortcut:
                    beside = mixed[top + row, left + col, channels:]
                    for k in range(channels):
                        here[k] += beside[k] + shortcut_bias[k]
                for k in range(channels):
                    total[k] += here[k]
        _along_rows(hidden[patch], 0, 0, axis, along)
        for row in range(edge):
            above, below = max(row - 1, 0), min(row + 1, edge - 1)
            before, same, behind = axis[0, row], axis[1, row], axis[2, row]
            for col in range(edge):
                for k in range(channels):
                    smoothed[patch, row, col, k] = (
                        before * along[above, col, k]
                        + same * along[row, col, k]
                        + behind * along[below, col, k]
                    )


@compiled
def rectify_and_sum(values: Float32Array, bias: Float32Array, sums: Float32Array) -> None:
    """ReLU(X + b) in place of patches (n, nodes, channels), and its sum over the nodes (n, channels)."""
    patches, nodes, channels = values.shape
    for patch in range(patches):
        total = sums[patch]
        total[:] = 0
        for node in range(nodes):
            here = values[patch, node]
            for k in range(channels):
                here[k] = max(here[k] + bias[k], np.float32(0))
            for k in range(channels):
                total[k] += here[k]


@compiled
def last_layer(values: Float32Array, axis: Float32Array, bias: Float32Array, sums: Float32Array) -> None:
    """Add up ReLU(S X + b) over the nodes of each patch; ``bias`` is (rows, cols, channels)."""
    patches, edge, _, channels = values.shape
    along = np.empty((edge, edge, channels), np.float32)
    for patch in range(patches):
        _along_rows(values[patch], 0, 0, axis, along)
        total = sums[patch]
        total[:] = 0
        for row in range(edge):
            above, below = max(row - 1, 0), min(row + 1, edge - 1)
            before, same, behind = axis[0, row], axis[1, row], axis[2, row]
            for col in range(edge):
                added = bias[row, col]
                for k in range(channels):
                    value = (
                        before * along[above, col, k]
                        + same * along[row, col, k]
                        + behind * along[below, col, k]
                        + added[k]
                    )
                    total[k] += max(value, np.float32(0))


@compiled
def _along_rows(values: Float32Array, top: int, left: int, axis: Float32Array, out: Float32Array) -> None:
    """Smooth the patch at ``top``, ``left`` of ``values`` (rows, cols, channels) along its rows."""
    edge, _, channels = out.shape
    for row in range(edge):
        for col in range(edge):
            here = left + col
            left_of, right_of = left + max(col - 1, 0), left + min(col + 1, edge - 1)
            before, same, behind = axis[0, col], axis[1, col], axis[2, col]
            for k in range(channels):
                out[row, col, k] = (
                    before * values[top + row, left_of, k]
                    + same * values[top + row, here, k]
                    + behind * values[top + row, right_of, k]
                )
