"""The parts of a sample set: which mine or block plays which, and whether every class is in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from db.samples import SPLITS
from inference.segmentation_model import CLASS_CODES
from inference.training.sample_pieces import Pieces
from inference.training.sample_settings import SampleSettings
from inference.training.sample_windows import Placed, place_windows
from inference.training.split_search import SHARES, search_split

SPLITS_TRIED = 4
SHARE_TOLERANCE = 0.1
"""A class whose share of a part is farther off than this is mentioned."""


def balanced_windows(
    pieces: Pieces, grids: Sequence[Grid], settings: SampleSettings
) -> tuple[NDArray[np.int64], Placed]:
    """Decide which group plays which part, and lay the windows.

    Windows that come too near to another part are lost, and nobody knows which before the parts are known:
    so several splits are tried, and the one counts whose windows hold the classes most nearly 6:2:2.

    Returns:
        (groups,) part of each group, and the windows.

    Raises:
        UsageError: fewer than three groups.

    """
    best_cost, best = np.inf, None
    for seed in np.random.default_rng(settings.seed).integers(0, 2**31, SPLITS_TRIED).tolist():
        parts = parts_of_groups(pieces, seed)
        placed = place_windows(pieces, parts, grids, settings.tile_px, settings.gap_m)
        cost = _cost_of_windows(pieces, parts, placed)
        if cost < best_cost:
            best_cost, best = cost, (parts, placed)
    if best is None:
        raise RuntimeError("no split has a finite cost")
    return best


def _cost_of_windows(pieces: Pieces, parts: NDArray[np.int64], placed: Placed) -> float:
    """Distance to 6:2:2 of the pixels that windows hold, by class, and the share that none holds."""
    held = np.zeros((len(SPLITS), 256))
    chosen = ~placed.lost
    np.add.at(held, (parts[pieces.groups[chosen]], pieces.codes[chosen]), pieces.pixels[chosen])
    totals = np.bincount(pieces.codes, pieces.pixels, 256)
    present = totals > 0
    shares = held[:, present] / np.maximum(held[:, present].sum(axis=0), 1)
    imbalance = ((shares - np.array(SHARES)[:, None]) ** 2).sum()
    lost = (1 - held[:, present].sum(axis=0) / totals[present]).sum()
    return float(imbalance + 10 * (held[:, present] == 0).sum() + 0.1 * lost)


def parts_of_groups(pieces: Pieces, seed: int) -> NDArray[np.int64]:
    """(groups,) part of each group; groups that hold nothing, having joined another, play none: training."""
    counts = pieces.counts(CLASS_CODES)
    held = np.flatnonzero(counts.sum(axis=1))
    if held.size < len(SPLITS):
        raise UsageError(
            f"the labels lie in {held.size} mines or blocks, at least three are needed for training, "
            "validation and test: draw labels in more places, or choose a smaller --tile-px or --block-m"
        )
    parts = np.zeros(len(counts), np.int64)
    parts[held] = search_split(counts[held], seed)
    return parts


def check_counts(counts: NDArray[np.int64], settings: SampleSettings, edge_m: float) -> None:
    """Refuse a set whose parts do not hold what they are for.

    Args:
        counts: (splits, classes) labelled pixels.
        settings: of the set, for the message.
        edge_m: edge of the blocks, for the message.

    Raises:
        UsageError: nothing is left for a part, or one class only for training.

    """
    advice = (
        f"with windows of {settings.tile_px} px, a gap of {settings.gap_m:g} m and blocks of {edge_m:g} m: "
        "draw labels in more places, or choose a smaller --tile-px, --gap-m or --block-m"
    )
    for split, row in zip(SPLITS, counts, strict=True):
        if row.sum() == 0:
            raise UsageError(f"no labels are left for {split} {advice}")
    if np.count_nonzero(counts[0]) < 2:
        raise UsageError(f"labels of one class only are left for training {advice}")


def balance_warnings(pieces: Pieces, counts: NDArray[np.int64], names: dict[int, str]) -> list[str]:
    """What is wrong with the balance of the classes."""
    lines = []
    holders = np.count_nonzero(pieces.counts(CLASS_CODES), axis=0)
    for place, code in enumerate(CLASS_CODES):
        if holders[place] == 0:
            continue
        row = counts[:, place]
        absent = " and ".join(split for split, pixels in zip(SPLITS, row, strict=True) if not pixels)
        if absent and holders[place] < len(SPLITS):
            lines.append(
                f"{names[code]}: only {holders[place]} mines or blocks hold it, none is left for {absent}"
            )
        elif absent:
            lines.append(
                f"{names[code]}: {holders[place]} mines or blocks hold it, but none is left for {absent}, "
                "because its windows came too near to those of other parts"
            )
        else:
            shares = row / row.sum()
            if np.abs(shares - SHARES).max() > SHARE_TOLERANCE:
                said = " : ".join(f"{share:.0%}" for share in shares)
                lines.append(f"{names[code]}: its pixels are split {said}, not 60 : 20 : 20")
    return lines
