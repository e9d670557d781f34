"""What a trained network expects of every cell, hidden from it or as it reconstructs it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from db.errors import UsageError
from inference.device import device_faults
from inference.evidence.fitting import FittedNetwork
from inference.evidence.masks import as_cells, complementary_masks
from inference.evidence.networks import EvidenceNetwork
from inference.evidence.types import HIDDEN_KINDS, EvidenceGround, Progress
from inference.evidence.windows import PaddedGround, padded_ground

BATCH_SIZE = 16
"""Windows that are cut at once."""


def predict(
    fitted: FittedNetwork,
    ground: EvidenceGround,
    progress: Progress | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> NDArray[np.float32]:
    """What a network expects of the geochemistry and geophysics, from everything but the cell itself.

    Windows slide by half a window. The patches of each are dealt into groups, and in as many passes each
    group is in sight once while all others are hidden; a cell's answer is the mean over all windows and
    passes in which it was hidden, whose share is the same for all cells. Autoencoders see everything, and
    what they make of it is the answer.

    Args:
        fitted: the network.
        ground: with the same channels.
        progress: hears the share that is done.
        batch_size: windows at once; without effect on the answer.

    Returns:
        (hidden channels, height, width) float32, scaled as the ground's values are, in the order of
        ``ground.places_of(*HIDDEN_KINDS)``; NaN off the judged ground.

    Raises:
        UsageError: a ground with other channels, or smaller than a window.

    """
    _require_channels(fitted, ground)
    network, settings = fitted.network, fitted.settings
    layout = network.layout
    padded = padded_ground(ground, layout, settings.window_px, fitted.device)
    stride = settings.window_px if network.is_local else max(1, settings.window_px // 2)
    places = padded.sliding(padded.is_judged, stride)
    sums = torch.zeros((sum(layout.hidden_sizes), *padded.is_judged.shape), device=fitted.device)
    counts = torch.zeros(padded.is_judged.shape, device=fitted.device)
    with torch.inference_mode(), device_faults():
        for begin in range(0, len(places), batch_size):
            part = places[begin : begin + batch_size]
            for answers, is_counted in _answers(fitted, padded, part):
                _add(sums, counts, answers, is_counted, part + padded.margin_px)
            if progress is not None:
                progress(min(1.0, (begin + batch_size) / len(places)))
    begin, (height, width) = padded.margin_px, ground.is_judged.shape
    expected = (sums / counts.clamp(min=1))[:, begin : begin + height, begin : begin + width].cpu().numpy()
    expected[:, ~ground.is_judged] = np.nan
    order = layout.hidden_order
    wanted = ground.places_of(*HIDDEN_KINDS)
    return np.ascontiguousarray(expected[[order.index(place) for place in wanted]])


def _answers(
    fitted: FittedNetwork, padded: PaddedGround, places: NDArray[np.int64]
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each pass over some windows what is expected (n, c, h, w), and where it counts (n, h, w)."""
    network, settings = fitted.network, fitted.settings
    rows, cols = places[:, 0].tolist(), places[:, 1].tolist()
    values, known = (padded.cut(layers, rows, cols) for layers in (padded.values, padded.known))
    if not network.hides:
        yield _run(network, values, known, None), torch.ones_like(values[:, 0])
        return
    edge = settings.window_px // settings.patch_px
    masks = torch.from_numpy(
        np.stack(
            [
                complementary_masks(row, col, edge, settings.groups)
                for row, col in zip(rows, cols, strict=True)
            ]
        )
    ).to(values.device)
    for group in range(settings.groups):
        is_hidden = masks[:, group]
        is_counted = as_cells(is_hidden, settings.patch_px).to(values.dtype)
        yield _run(network, values, known, is_hidden), is_counted


def _run(network: EvidenceNetwork, values: Tensor, known: Tensor, is_hidden: Tensor | None) -> Tensor:
    answers: Tensor = network(values, known, is_hidden)
    return answers


def _add(
    sums: Tensor, counts: Tensor, answers: Tensor, is_counted: Tensor, places: NDArray[np.int64]
) -> None:
    """Add what windows answered to what was answered before; places count in the padded ground."""
    edge = answers.shape[2]
    weighted = answers * is_counted[:, None]
    for place, (row, col) in enumerate(places.tolist()):
        sums[:, row : row + edge, col : col + edge] += weighted[place]
        counts[row : row + edge, col : col + edge] += is_counted[place]


def _require_channels(fitted: FittedNetwork, ground: EvidenceGround) -> None:
    """Refuse a ground whose channels are not those the network was trained on.

    Raises:
        UsageError: names what lacks and what is new.

    """
    wanted = [(channel.kind, channel.name) for channel in fitted.channels]
    got = [(channel.kind, channel.name) for channel in ground.channels]
    if got == wanted:
        return
    missing = [name for kind, name in wanted if (kind, name) not in got]
    added = [name for kind, name in got if (kind, name) not in wanted]
    said = "; ".join(
        f"{word} {', '.join(names)}" for word, names in (("without", missing), ("with", added)) if names
    )
    raise UsageError(
        f"the evidence of {ground.area} is {said or 'in another order'}: the network was trained on "
        f"{len(wanted)} channels, {', '.join(name for _, name in wanted)}; give the same layers"
    )
