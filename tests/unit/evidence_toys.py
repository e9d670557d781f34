"""Small made grounds to learn from, with what follows from what known beforehand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from db.raster import Grid
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings

SMALL: dict[str, Any] = {
    "window_px": 16,
    "patch_px": 4,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "stem": 4,
    "decoder_width": 16,
    "decoder_depth": 1,
    "windows": 64,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "evaluations": 2,
}


def settings_of(method: str = "vit", **changes: Any) -> EvidenceSettings:
    """Settings of a network that trains in a second."""
    return EvidenceSettings(method=method, **{**SMALL, **changes})


def channel(name: str, kind: str) -> EvidenceChannel:
    """A channel as it is stored."""
    element = name if kind == "geochemistry" else None
    return EvidenceChannel(name, kind, element, None, "none", 0.0, 1.0, kind != "geology")


def toy_ground(
    values: dict[tuple[str, str], NDArray[np.floating[Any]]],
    is_known: NDArray[np.bool_] | None = None,
    is_judged: NDArray[np.bool_] | None = None,
) -> EvidenceGround:
    """A ground of channels by kind and name; all known and judged unless said otherwise."""
    stacked = np.stack(list(values.values())).astype(np.float32)
    shape = stacked.shape[1:]
    judged = np.ones(shape, dtype=bool) if is_judged is None else is_judged
    known = (np.ones(stacked.shape, dtype=bool) if is_known is None else is_known) & judged
    return EvidenceGround(
        area="toy",
        evidence_area_id=1,
        grid=Grid(32644, 500_000.0, 3_960_000.0, 100.0, 100.0, shape[1], shape[0]),
        channels=tuple(channel(name, kind) for kind, name in values),
        values=np.where(known, stacked, np.float32(0)),
        raw=np.where(known, stacked, np.float32("nan")),
        is_known=known,
        is_judged=judged,
    )


def smooth_field(shape: tuple[int, int], sigma_px: float, seed: int) -> NDArray[np.float32]:
    """A smooth random field of mean 0 and deviation 1."""
    field = ndimage.gaussian_filter(
        np.random.default_rng(seed).standard_normal(shape), sigma_px, mode="reflect"
    )
    return ((field - field.mean()) / field.std()).astype(np.float32)


def changed(ground: EvidenceGround, values: NDArray[np.float32]) -> EvidenceGround:
    """The same ground with other values."""
    return replace(ground, values=values.astype(np.float32))
