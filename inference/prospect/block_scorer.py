"""Probabilities of blocks of patches of one strip of ground after another, by a folded graph network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.device import BatchRunner
from inference.prospect.box import axis_bands, first_layer, last_layer, rectify_and_sum
from inference.prospect.folded import FoldedGcn
from inference.prospect.graphs import normalised_adjacency
from inference.threads import in_threads, shares

Float32Array = NDArray[np.float32]


class BlockScorer:
    """Scores patches of strips of ground.

    On a processor each thread takes whole blocks; what is between two layers of one stays in its cache.

    Args:
        matrices: the network.
        device: where the matrices are.
        block: patches at once, fewer where memory runs out.

    """

    def __init__(self, matrices: FoldedGcn, device: torch.device, block: int) -> None:
        self._matrices = matrices
        self._device = device
        self._block = block
        self._spaces = [_Space(matrices) for _ in range(torch.get_num_threads())]
        adjacency = torch.from_numpy(normalised_adjacency(matrices.patch_px))
        self._adjacency = adjacency.to(device, torch.float32)

    def score(self, values: Float32Array, places: NDArray[np.int64]) -> Float32Array:
        """Probability of ore (n,) of the patches of a strip.

        Args:
            values: (channels, rows, width) of the strip.
            places: (n, 2) first row and column of each patch in it.

        """
        compute = self._by_box if self._device.type == "cpu" else self._by_matrix
        with torch.inference_mode():
            found = compute(values, torch.from_numpy(places))
        return np.asarray(found.numpy(), np.float32)

    def _by_box(self, values: Float32Array, places: Tensor) -> Tensor:
        """On a processor."""
        _, rows, width = values.shape
        mixed = np.empty((rows, width, self._matrices.mixing.shape[1]), np.float32)

        def mix(part: slice) -> None:
            # X W1 of every cell
            strip = torch.from_numpy(np.ascontiguousarray(values[:, part]))
            out = torch.from_numpy(mixed[part]).flatten(0, 1)
            torch.mm(strip.flatten(1).t(), self._matrices.mixing, out=out)

        def score(share: tuple[_Space, slice]) -> Tensor:
            space, part = share

            def probabilities(some: Tensor) -> Tensor:
                return self._matrices.logits(*space.sums(mixed, some.numpy())).softmax(1)[:, 1]

            return BatchRunner(probabilities, self._block)(places[part])

        in_threads(mix, shares(rows))
        parts = shares(len(places), self._block)
        return torch.cat(in_threads(score, list(zip(self._spaces, parts, strict=False))))

    def _by_matrix(self, values: Float32Array, places: Tensor) -> Tensor:
        """On a GPU."""
        strip = torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
        mixed = (strip.flatten(1).t() @ self._matrices.mixing).view(*strip.shape[1:], -1)

        def probabilities(some: Tensor) -> Tensor:
            sums = self._sums_by_matrix(mixed, some.to(self._device))
            return self._matrices.logits(*sums).softmax(1)[:, 1].cpu()

        runner = BatchRunner(probabilities, self._block)
        found = runner(places)
        self._block = runner.batch_size
        return found

    def _sums_by_matrix(self, mixed: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over the nodes of the last layer, of R and of H1."""
        of = self._matrices
        width = len(of.first_bias)
        steps = torch.arange(of.patch_px, device=places.device)
        top, left = places.t()
        rows, cols = top[:, None] + steps, left[:, None] + steps
        cells = mixed[rows[:, :, None], cols[:, None, :]].flatten(1, 2)
        hidden = (self._adjacency @ cells[..., :width] + of.first_bias).relu_()
        if len(of.first_shortcut_bias):
            hidden = hidden + cells[..., width:] + of.first_shortcut_bias
        wide = (self._adjacency @ hidden @ of.second + of.second_bias).relu_()
        products = wide @ of.third
        if of.past is not None:
            products += hidden @ of.past
        last = (self._adjacency @ products + of.third_bias).relu_()
        return last.sum(1), wide.sum(1), hidden.sum(1)


class _Space:
    """The arrays of one thread, used again for each block: H1, S H1, R, R W3 and the three sums."""

    def __init__(self, matrices: FoldedGcn) -> None:
        self._matrices = matrices
        self._axis = axis_bands(matrices.patch_px)
        self._arrays: tuple[Tensor, ...] = ()

    def sums(self, mixed: Float32Array, places: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over the nodes (n, channels) of the last layer, of R and of H1; good until the next call."""
        of, patches = self._matrices, len(places)
        hidden, smoothed, wide, products, last_sum, wide_sum, hidden_sum = self._of(patches)
        rows = patches * of.patch_px**2
        biases = of.first_bias.numpy(), of.first_shortcut_bias.numpy()
        outputs = hidden.numpy(), smoothed.numpy(), hidden_sum.numpy()
        first_layer(mixed, places, self._axis, *biases, *outputs)
        torch.mm(smoothed.view(rows, -1), of.second, out=wide.view(rows, -1))
        rectify_and_sum(wide.numpy(), of.second_bias.numpy(), wide_sum.numpy())
        torch.mm(wide.view(rows, -1), of.third, out=products.view(rows, -1))
        if of.past is not None:
            products.view(rows, -1).addmm_(hidden.view(rows, -1), of.past)
        bias = of.third_bias.view(of.patch_px, of.patch_px, -1)
        last_layer(products.numpy(), self._axis, bias.numpy(), last_sum.numpy())
        return last_sum, wide_sum, hidden_sum

    def _of(self, patches: int) -> tuple[Tensor, ...]:
        of = self._matrices
        if not self._arrays or len(self._arrays[0]) < patches:
            edge, width, wide = of.patch_px, len(of.first_bias), len(of.second_bias)
            square = (patches, edge, edge, width)
            shapes = [square, square, (patches, edge * edge, wide), square]
            sums = [(patches, width), (patches, wide), (patches, width)]
            self._arrays = tuple(torch.empty(shape) for shape in (*shapes, *sums))
        return tuple(array[:patches] for array in self._arrays)
