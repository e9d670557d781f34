"""The windows of a sample set in its parts, and whether every class is in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.raster import Grid
from db.samples import SPLITS
from inference.samples.parts import ABSENT_COSTS, imbalance, parts_of_groups
from inference.samples.pieces import Pieces
from inference.samples.settings import SampleSettings
from inference.samples.windows import Placed, place_windows
from inference.segmentation_model import CLASS_CODES
from inference.training.split_search import SHARES

SPLITS_TRIED = 4
SHARE_TOLERANCE = 0.1
"""A class whose share of a part is farther off than this is mentioned."""


def balanced_windows(
    pieces: Pieces, grids: Sequence[Grid], settings: SampleSettings
) -> tuple[NDArray[np.int64], Placed]:
    """Decide which group plays which part, and lay the windows.

    Windows that come too near to another part are lost, and nobody knows which before the parts are known:
    so several splits are tried, and the one counts whose windows hold the classes most nearly 6:2:2. A fold
    is what it is.

    Returns:
        (groups,) part of each group, and the windows.

    Raises:
        UsageError: fewer than three groups, more folds than groups.

    """
    best_cost, best = np.inf, None
    tried = set()
    for seed in np.random.default_rng(settings.seed).integers(0, 2**31, SPLITS_TRIED).tolist():
        parts = parts_of_groups(pieces, seed, settings.fold)
        if parts.tobytes() in tried:
            continue
        tried.add(parts.tobytes())
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
    kept = held[:, present].sum(axis=0)
    # a class of which nothing is left at all is absent from every part
    gone = (kept == 0).sum() * sum(ABSENT_COSTS)
    return float(imbalance(held[:, present]) + gone + 0.1 * (1 - kept / totals[present]).sum())


def check_counts(counts: NDArray[np.int64], settings: SampleSettings, edge_m: float | None) -> None:
    """Refuse a set whose parts do not hold what they are for.

    Args:
        counts: (splits, classes) labelled pixels.
        settings: of the set, for the message.
        edge_m: edge of the blocks, for the message; None where there are none.

    Raises:
        UsageError: nothing is left for a part, or one class only for training.

    """
    used = f"with windows of {settings.tile_px} px and a gap of {settings.gap_m:g} m"
    options = "--tile-px or --gap-m"
    if edge_m is not None:
        used += f", and blocks of {edge_m:g} m"
        options = "--tile-px, --gap-m or --block-m"
    advice = f"{used}: draw labels in more places, or choose a smaller {options}"
    for split, row in zip(SPLITS, counts, strict=True):
        if row.sum() == 0:
            raise UsageError(f"no labels are left for {split} {advice}")
    if np.count_nonzero(counts[0]) < 2:
        raise UsageError(f"labels of one class only are left for training {advice}")


def balance_warnings(
    pieces: Pieces, counts: NDArray[np.int64], names: dict[int, str], *, is_fold: bool = False
) -> list[str]:
    """What is wrong with the balance of the classes.

    Args:
        pieces: the labels in their groups.
        counts: (splits, classes) labelled pixels in the windows.
        names: of the classes, by code.
        is_fold: the shares are as the folds are, and nothing is said about them.

    """
    lines = []
    word = pieces.group_word
    holders = np.count_nonzero(pieces.counts(CLASS_CODES), axis=0)
    for place, code in enumerate(CLASS_CODES):
        if holders[place] == 0:
            continue
        row = counts[:, place]
        absent = " and ".join(split for split, pixels in zip(SPLITS, row, strict=True) if not pixels)
        if absent and holders[place] < len(SPLITS):
            lines.append(f"{names[code]}: only {holders[place]} {word} hold it, none is left for {absent}")
        elif absent:
            lines.append(
                f"{names[code]}: {holders[place]} {word} hold it, but none is left for {absent}, "
                "because its windows came too near to those of other parts"
            )
        elif not is_fold:
            shares = row / row.sum()
            if np.abs(shares - SHARES).max() > SHARE_TOLERANCE:
                said = " : ".join(f"{share:.0%}" for share in shares)
                lines.append(f"{names[code]}: its pixels are split {said}, not 60 : 20 : 20")
    return lines
