"""Which patches of a window are hidden."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def hidden_patches(
    rng: np.random.Generator, windows: int, tile_px: int, patch_px: int, least: float, most: float
) -> NDArray[np.bool_]:
    """Patches to hide, another share of each window.

    Args:
        rng: decides.
        windows: n.
        tile_px: edge of the windows, a multiple of ``patch_px``.
        patch_px: edge of the patches.
        least: lowest share that is drawn, above 0. One patch is always hidden and one left visible.
        most: highest share, below 1.

    Returns:
        (n, tile_px, tile_px), true where hidden.

    """
    edge = tile_px // patch_px
    hidden = np.zeros((windows, edge * edge), bool)
    for row in hidden:
        count = round(float(rng.uniform(least, most)) * row.size)
        row[rng.permutation(row.size)[: min(max(count, 1), row.size - 1)]] = True
    patches = hidden.reshape(windows, edge, edge)
    return patches.repeat(patch_px, axis=1).repeat(patch_px, axis=2)
