"""Sets of patches on drawn ground, as `inference.prospect.dataset` makes them, without a database."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from db.raster import Grid
from inference.prospect.channels import Channel
from inference.prospect.dataset import PatchSet
from inference.prospect.ground import Ground
from inference.prospect.train import LabelledPatches
from inference.training.blocks import TEST, TRAIN, VALIDATION

PATCH_PX = 4
SPECTRAL = tuple(Channel(f"b{number}", "spectral", 2000.0 + 10 * number, 10.0) for number in range(3))
GEOLOGY = (Channel("fault_distance_m", "geology"), Channel("pluton_distance_m", "geology"))
PART_OF_COLUMN = (TRAIN, VALIDATION, TEST, TRAIN, TRAIN, VALIDATION, TEST, TRAIN)
"""Parts of the blocks, three patches wide, from west to east."""


def labelled(
    patches: int, seed: int, *, shift: float = 1.0, nodes: int = PATCH_PX**2, share: float = 0.3
) -> LabelledPatches:
    """Patches of noise in 3 channels; those with ore lie ``shift`` deviations higher in the first."""
    rng = np.random.default_rng(seed)
    is_positive = rng.random(patches) < share
    is_positive[:2] = True, False
    values = rng.standard_normal((patches, nodes, 3)).astype(np.float32)
    values[is_positive, :, 0] += shift
    return LabelledPatches(values, is_positive)


def drawn_set(
    *,
    seed: int = 0,
    spectral_shift: float = 1.0,
    geology_shift: float = 0.0,
    channels: tuple[Channel, ...] = (*SPECTRAL, *GEOLOGY),
    rows_of_patches: int = 12,
) -> PatchSet:
    """Patches side by side, a third of them with ore, in blocks of 3 x 3 patches.

    The first spectral channel is higher and the first of geology lower where there is ore, both in units of
    the noise of single cells, which is 100 m in channels of geology.
    """
    rng = np.random.default_rng(seed)
    cols_of_patches = 3 * len(PART_OF_COLUMN)
    shape = rows_of_patches * PATCH_PX, cols_of_patches * PATCH_PX
    rows, cols = (each.ravel() for each in np.indices((rows_of_patches, cols_of_patches)))
    is_positive = rng.random(rows.size) < 1 / 3
    is_ore = np.zeros((rows_of_patches, cols_of_patches), bool)
    is_ore[rows, cols] = is_positive
    ore = np.kron(is_ore, np.ones((PATCH_PX, PATCH_PX), bool)).astype(bool)
    values = rng.standard_normal((len(channels), *shape)).astype(np.float32)
    first_of = {
        kind: next((at for at, each in enumerate(channels) if each.kind == kind), None)
        for kind in ("spectral", "geology", "evidence")
    }
    for kind, shift in (
        ("spectral", spectral_shift),
        ("evidence", spectral_shift),
        ("geology", -geology_shift),
    ):
        place = first_of[kind]
        if place is not None:
            values[place] += shift * ore
    for place, channel in enumerate(channels):
        values[place] = (
            3000 + 100 * values[place] if channel.kind == "geology" else 0.3 + 0.02 * values[place]
        )
    ground = Ground(
        name="drawn",
        scene_id=None,
        evidence_area_id=None,
        grid=Grid(32644, 500_000.0, 3_960_000.0, 30.0, 30.0, shape[1], shape[0]),
        channels=channels,
        values=values,
        is_judged=np.ones(shape, bool),
        geology_digest="drawn",
    )
    columns = cols // 3
    return PatchSet(
        name="drawn",
        prospect_set_id=1,
        ground=ground,
        patch_px=PATCH_PX,
        rows=(rows * PATCH_PX).astype(np.int64),
        cols=(cols * PATCH_PX).astype(np.int64),
        is_positive=is_positive,
        parts=parts_of(columns),
        blocks=(columns + 100 * (rows // 3)).astype(np.int64),
    )


def parts_of(columns: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.array(PART_OF_COLUMN, np.uint8)[columns]
