"""The blocks of the networks said a second time: slowly, plainly, in float64, with numpy and loops alone.

Written from the definitions of the blocks, not from the package: nothing here imports torch or `inference`,
weights have the names of the formulas, and whoever compares says which tensor of a network is which of them.

Weights are a mapping of arrays. A convolution is ``<name>`` (out, in, 3 or 1, 3 or 1) and ``<name>_bias``
where it has one; a normalisation is ``<name>_gain``, ``<name>_offset``, ``<name>_mean`` and
``<name>_variance``, all (channels,); in training mean and variance are the batch's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, Array]
Block = Callable[[Array], Array]

EPSILON = 1e-5  # added to every variance


def convolution(
    x: Array, weight: Array, bias: Array | None = None, *, rate: int = 1, groups: int = 1
) -> Array:
    """A convolution of stride 1 over zeros beyond the edge; its taps lie `rate` pixels apart.

    Args:
        x: (n, in, h, w).
        weight: (out, in / groups, k, k), k odd.
        bias: (out,) or None.
        rate: dilation.
        groups: the first of `groups` equal shares of the outputs sees the first share of the inputs, ...

    Returns:
        (n, out, h, w).
    """
    tiles, channels, height, width = x.shape
    outputs, seen, edge, _ = weight.shape
    assert channels == seen * groups, f"{channels} channels are not {groups} groups of {seen}"
    assert outputs % groups == 0
    share = outputs // groups
    out = np.zeros((tiles, outputs, height, width))
    for n, y, x0, group in product(range(tiles), range(height), range(width), range(groups)):
        ours = slice(group * share, (group + 1) * share)
        theirs = slice(group * seen, (group + 1) * seen)
        for i, j in product(range(edge), range(edge)):
            row, column = y + rate * (i - edge // 2), x0 + rate * (j - edge // 2)
            if 0 <= row < height and 0 <= column < width:
                out[n, ours, y, x0] += weight[ours, :, i, j] @ x[n, theirs, row, column]
    if bias is not None:
        for channel in range(outputs):
            out[:, channel] += bias[channel]
    return out


def normalised(x: Array, weights: Weights, name: str, *, training: bool) -> Array:
    """Batch normalisation of (n, c, h, w)."""
    out = np.empty_like(x)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        mean, variance = weights[f"{name}_mean"][channel], weights[f"{name}_variance"][channel]
        if training:
            mean = values.sum() / values.size
            variance = ((values - mean) ** 2).sum() / values.size
        scaled = (values - mean) / math.sqrt(variance + EPSILON)
        out[:, channel] = scaled * weights[f"{name}_gain"][channel] + weights[f"{name}_offset"][channel]
    return out


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def sigmoid(x: Array) -> Array:
    def of_one(value: float) -> float:
        return 1 / (1 + math.exp(-value)) if value > 0 else math.exp(value) / (1 + math.exp(value))

    return np.array([of_one(value) for value in x.ravel().tolist()]).reshape(x.shape)


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def shares(values: Sequence[float]) -> list[float]:
    """Softmax."""
    most = max(values)
    raised = [math.exp(value - most) for value in values]
    return [value / sum(raised) for value in raised]


def conv_bn_relu(x: Array, weights: Weights, name: str, *, training: bool, rate: int = 1) -> Array:
    """A convolution without bias, its normalisation, ReLU."""
    assert f"{name}_bias" not in weights
    return relu(normalised(convolution(x, weights[name], rate=rate), weights, name, training=training))


def global_mean(x: Array) -> Array:
    """(n, c, h, w) -> (n, c)."""
    tiles, channels, height, width = x.shape
    out = np.zeros((tiles, channels))
    for n, c, y, x0 in product(range(tiles), range(channels), range(height), range(width)):
        out[n, c] += x[n, c, y, x0] / (height * width)
    return out


def linear(z: Array, weight: Array, bias: Array) -> Array:
    """(n, in) -> (n, out)."""
    return np.array([[weight[o] @ row + bias[o] for o in range(len(bias))] for row in z])


def resampled(x: Array, height: int, width: int) -> Array:
    """Bilinear to (n, c, height, width); pixels are areas, beyond the outer centres the outer value holds."""

    def place(fine: int, fine_px: int, coarse_px: int) -> tuple[int, int, float]:
        centre = (fine + 0.5) / fine_px * coarse_px - 0.5
        centre = min(max(centre, 0.0), coarse_px - 1.0)
        before = min(int(centre), max(coarse_px - 2, 0))
        return before, min(before + 1, coarse_px - 1), centre - before

    out = np.zeros((*x.shape[:2], height, width))
    for y, x0 in product(range(height), range(width)):
        top, bottom, down = place(y, height, x.shape[2])
        left, right, along = place(x0, width, x.shape[3])
        upper = (1 - along) * x[:, :, top, left] + along * x[:, :, top, right]
        lower = (1 - along) * x[:, :, bottom, left] + along * x[:, :, bottom, right]
        out[:, :, y, x0] = (1 - down) * upper + down * lower
    return out


def local_aggregation(values: Array, maps: Array) -> Array:
    """Each pixel's 3x3 neighbourhood summed with the pixel's own nine weights, zeros beyond the edge.

    Args:
        values: (n, C, h, w).
        maps: (n, maps, 9, h, w), taps row by row; channel c has the map c mod maps.
    """
    tiles, channels, height, width = values.shape
    out = np.zeros_like(values)
    for n, c, y, x in product(range(tiles), range(channels), range(height), range(width)):
        for tap in range(9):
            row, column = y + tap // 3 - 1, x + tap % 3 - 1
            if 0 <= row < height and 0 <= column < width:
                out[n, c, y, x] += maps[n, c % maps.shape[1], tap, y, x] * values[n, c, row, column]
    return out


def group_normalised(x: Array, groups: int, gain: Array, offset: Array) -> Array:
    """GroupNorm of (n, c, h, w): each tile's groups of neighbouring channels have mean 0 and variance 1."""
    out = np.empty_like(x)
    edge = x.shape[1] // groups
    for n, group in product(range(x.shape[0]), range(groups)):
        chosen = slice(group * edge, (group + 1) * edge)
        values = x[n, chosen]
        mean = values.sum() / values.size
        variance = ((values - mean) ** 2).sum() / values.size
        out[n, chosen] = (values - mean) / math.sqrt(variance + EPSILON)
    for channel in range(x.shape[1]):
        out[:, channel] = out[:, channel] * gain[channel] + offset[channel]
    return out


def cot_contexts(x: Array, w: Weights, *, training: bool) -> tuple[Array, Array]:
    """K1 and V, which both forms of the CoT block share; 3x3 of 4 groups, and 1x1; neither has a bias."""
    assert not {"key_bias", "value_bias"} & w.keys()
    static = relu(normalised(convolution(x, w["key"], groups=4), w, "key", training=training))
    return static, normalised(convolution(x, w["value"]), w, "value", training=training)


def cot_full(x: Array, w: Weights, *, training: bool = False) -> Array:
    """The CoT block in full on (n, C, h, w), k = 3; a0 and a1 of a channel lie beside each other."""
    tiles, channels, height, width = x.shape
    maps = channels // 8
    static, values = cot_contexts(x, w, training=training)
    hidden = conv_bn_relu(np.concatenate((x, static), axis=1), w, "squeeze", training=training)
    assert hidden.shape[1] == channels // 2
    attention = convolution(hidden, w["taps"], w["taps_bias"])
    attention = group_normalised(attention, maps, w["taps_gain"], w["taps_offset"])
    attention = attention.reshape(tiles, maps, 9, height, width)
    summed = local_aggregation(values, attention)
    dynamic = silu(normalised(summed, w, "dynamic", training=training))
    s = global_mean(static + dynamic)[:, :, None, None]
    s = convolution(s, w["narrow"], w["narrow_bias"])
    assert s.shape[1] == max(channels // 2, 32)
    s = convolution(relu(normalised(s, w, "narrow", training=training)), w["widen"], w["widen_bias"])
    out = np.zeros_like(x)
    for n, c in product(range(tiles), range(channels)):
        a0, a1 = shares([s[n, 2 * c, 0, 0], s[n, 2 * c + 1, 0, 0]])
        out[n, c] = a0 * dynamic[n, c] + a1 * static[n, c]
    return out


def cot_simple(x: Array, w: Weights, *, training: bool = False) -> Array:
    """The CoT block in its simple form; the nine taps of a channel lie beside each other."""
    tiles, channels, height, width = x.shape
    static, values = cot_contexts(x, w, training=training)
    hidden = conv_bn_relu(np.concatenate((static, x), axis=1), w, "squeeze", training=training)
    taps = convolution(hidden, w["taps"], w["taps_bias"])
    out = np.zeros_like(x)
    for n, c in product(range(tiles), range(channels)):
        mean = sum(taps[n, 9 * c + tap] for tap in range(9)) / 9
        attention = np.array(shares(mean.ravel().tolist())).reshape(height, width)
        out[n, c] = static[n, c] + attention * values[n, c]
    return out


def sae(x: Array, w: Weights, *, reduction: int = 32, cardinality: int = 4, residual: bool = True) -> Array:
    """Squeeze aggregated excitation; ``squeeze<i>`` and ``excite`` are (out, in) with a bias each."""
    channels = x.shape[1]
    z = global_mean(x)
    branches = []
    for number in range(cardinality):
        branches.append(relu(linear(z, w[f"squeeze{number}"], w[f"squeeze{number}_bias"])))
        assert branches[-1].shape[1] == max(channels // reduction, 1)
    s = sigmoid(linear(np.concatenate(branches, axis=1), w["excite"], w["excite_bias"]))
    out = np.zeros_like(x)
    for n, c in product(range(x.shape[0]), range(channels)):
        out[n, c] = x[n, c] * s[n, c] + (x[n, c] if residual else 0.0)
    return out


def aspp(
    x: Array, w: Weights, *, output_stride: int, training: bool = False,
    base_rates: Sequence[int] = (6, 12, 18), extra: Block | None = None,
) -> Array:  # fmt: skip
    """ASPP without its dropout: ``point``, ``rate<i>``, ``pooled``, ``project``; rates doubled at stride 8.

    Args:
        x: (n, in, h, w).
        w: weights.
        output_stride: of x.
        training: whether normalisations take the batch's statistics.
        base_rates: at output stride 16.
        extra: one more branch, before the pooled one.
    """
    maps = [conv_bn_relu(x, w, "point", training=training)]
    for number, base in enumerate(base_rates):
        rate = {16: base, 8: 2 * base}[output_stride]
        maps.append(conv_bn_relu(x, w, f"rate{number}", training=training, rate=rate))
    if extra is not None:
        maps.append(extra(x))
    pooled = conv_bn_relu(global_mean(x)[:, :, None, None], w, "pooled", training=training)
    maps.append(resampled(pooled, x.shape[2], x.shape[3]))
    return conv_bn_relu(np.concatenate(maps, axis=1), w, "project", training=training)


def decoder(
    low_level: Array, encoded: Array, w: Weights, *, training: bool = False, on_both: Block | None = None
) -> Array:
    """The decoder up to the classifier: ``reduce``, ``merge0``, ``merge1``.

    Args:
        low_level: (n, any, h, w).
        encoded: (n, any, any, any), resampled to h, w.
        w: weights.
        training: whether normalisations take the batch's statistics.
        on_both: block on the concatenated feature, encoded first.
    """
    grown = resampled(encoded, low_level.shape[2], low_level.shape[3])
    both = np.concatenate((grown, conv_bn_relu(low_level, w, "reduce", training=training)), axis=1)
    if on_both is not None:
        both = on_both(both)
    both = conv_bn_relu(both, w, "merge0", training=training)
    return conv_bn_relu(both, w, "merge1", training=training)


def pyramid_pooling(x: Array, w: Weights, *, bins: Sequence[int], training: bool = False) -> Array:
    """The feature and, for each of `bins`, its means over the parts, 1x1 (``bin<i>``), resampled.

    Part i of b along n pixels reaches from floor(i n / b) to below ceil((i + 1) n / b).
    """
    tiles, channels, height, width = x.shape
    maps = [x]
    for number, parts in enumerate(bins):
        pooled = np.zeros((tiles, channels, parts, parts))
        for i, j in product(range(parts), range(parts)):
            rows = range(i * height // parts, -((i + 1) * height // -parts))
            columns = range(j * width // parts, -((j + 1) * width // -parts))
            for row, column in product(rows, columns):
                pooled[:, :, i, j] += x[:, :, row, column] / (len(rows) * len(columns))
        maps.append(resampled(conv_bn_relu(pooled, w, f"bin{number}", training=training), height, width))
    return np.concatenate(maps, axis=1)
