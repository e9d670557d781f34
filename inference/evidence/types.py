"""What everything here works on: evidence on one grid, scaled, and what a method found in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from db.evidence import KINDS as KINDS
from db.raster import Grid
from db.registry import EVIDENCE as EVIDENCE

HIDDEN_KINDS = ("geochemistry", "geophysics")
"""What networks have to guess; geology (and spectra) stay in sight, which is the geological constraint."""

NETWORKS = ("vit", "vit_no_fusion", "vit_no_geology", "conv_autoencoder", "dense_autoencoder")
"""Methods that are trained in steps: the Transformer, its two ablations, and two autoencoders."""
ESTIMATORS = ("pca", "isolation_forest", "one_class_svm")
"""Methods that are fitted at once."""
PLAIN = ("mahalanobis", "single_layer")
"""Plain answers: distance on log geochemistry, and one layer, the element of most weight in the system."""
METHODS = (*NETWORKS, *ESTIMATORS, *PLAIN)

Report = Callable[[str], None]
Progress = Callable[[float], None]
"""Hears the share that is done, 0..1."""


def silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class EvidenceChannel:
    """A channel of the evidence, and how its values were brought to a common scale.

    Attributes:
        name: unique within the ground; the layer's, the raster of geology's, or ``lithology: granite``.
        kind: one of ``KINDS``.
        element: element or oxide, of geochemistry.
        unit: of the values as they are stored.
        transform: ``clr`` (centred log ratio), ``log`` (natural logarithm), ``log1p_km`` (of distances d, m:
            log(1 + d / 1000)), ``none`` or ``one_hot``.
        center, scale: scaled value = (transformed - center) / scale; 0 and 1 for ``one_hot``.
        is_stored: it is a layer of the study area; otherwise it was computed from mapped geology.

    """

    name: str
    kind: str
    element: str | None
    unit: str | None
    transform: str
    center: float
    scale: float
    is_stored: bool

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)


@dataclass(frozen=True)
class EvidenceGround:
    """The evidence of a study area.

    Attributes:
        area, evidence_area_id: the study area.
        grid: in metres.
        channels: ordered by kind and name.
        values: (channels, height, width) float32, scaled and clipped; 0 where nothing is known.
        raw: (channels, height, width) float32 as stored, NaN where nothing is known.
        is_known: (channels, height, width) a value is known on judged ground.
        is_judged: (height, width) ground that counts.
        layer_ids: key of each stored layer, by name.
        geology_digest: content of the rasters of mapped geology; None: none were taken.
        notes: what was left out or changed, and why.

    """

    area: str
    evidence_area_id: int
    grid: Grid
    channels: tuple[EvidenceChannel, ...]
    values: NDArray[np.float32]
    raw: NDArray[np.float32]
    is_known: NDArray[np.bool_]
    is_judged: NDArray[np.bool_]
    layer_ids: Mapping[str, int] = field(default_factory=dict)
    geology_digest: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the channels."""
        return [channel.name for channel in self.channels]

    def places_of(self, *kinds: str) -> list[int]:
        """Places of the channels of some kinds, in order."""
        return [place for place, channel in enumerate(self.channels) if channel.kind in kinds]

    @property
    def sources(self) -> dict[str, list[int]]:
        """Places of the channels of each kind that has any, in the order of ``KINDS``."""
        found = {kind: self.places_of(kind) for kind in KINDS}
        return {kind: places for kind, places in found.items() if places}

    @property
    def is_scored(self) -> NDArray[np.bool_]:
        """(height, width) judged cells of which some geochemistry or geophysics is known."""
        hidden = self.places_of(*HIDDEN_KINDS)
        scored: NDArray[np.bool_] = self.is_judged & self.is_known[hidden].any(axis=0)
        return scored


_LEAST_COUNTS = {
    "window_px": 1,
    "patch_px": 1,
    "width": 1,
    "depth": 1,
    "heads": 1,
    "stem": 1,
    "decoder_width": 1,
    "decoder_depth": 0,
    "windows": 1,
    "batch_size": 1,
    "groups": 2,
    "evaluations": 1,
}


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


@dataclass(frozen=True)
class EvidenceSettings:
    """Settings of a training; stored with the model.

    Attributes:
        method: one of ``METHODS``.
        options: further options of an estimator, e.g. ``components`` of pca.
        window_px, patch_px: edges of windows and of their patches, cells.
        width, depth, heads: of the Transformer's encoder.
        stem: channels of each source's stem.
        decoder_width, decoder_depth: of its decoder.
        windows: that are shown in all.
        batch_size: windows in a step.
        learning_rate: the highest, of AdamW.
        weight_decay: of AdamW.
        mask_least, mask_most: share of the patches that is hidden in training.
        groups: patches of a window are dealt into so many groups when scoring; all but one are hidden.
        block_px: edge of the blocks that are held out for choosing the epoch; None: by extent.
        validation_share: of the blocks.
        evaluations: how often validation is looked at.
        time_limit_s: no training step later than this.

    """

    method: str = "vit"
    options: dict[str, Any] = field(default_factory=dict)
    window_px: int = 32
    patch_px: int = 4
    width: int = 128
    depth: int = 6
    heads: int = 8
    stem: int = 16
    decoder_width: int = 64
    decoder_depth: int = 2
    windows: int = 16_000
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    mask_least: float = 0.60
    mask_most: float = 0.75
    groups: int = 4
    block_px: int | None = None
    validation_share: float = 0.2
    evaluations: int = 10
    time_limit_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse settings that no method can take; every one is named."""
        problems = [
            f"{name} is {getattr(self, name)}: give a whole number from {least} on"
            for name, least in _LEAST_COUNTS.items()
            if not _is_count(getattr(self, name), least)
        ]
        if self.method not in METHODS:
            problems.insert(0, f"there is no method {self.method!r}: there are {', '.join(METHODS)}")
        if self.block_px is not None and not _is_count(self.block_px, 1):
            problems.append(f"block_px is {self.block_px}: give a whole number from 1 on")
        if not 0 < self.learning_rate < math.inf:
            problems.append(f"learning_rate is {self.learning_rate}: give a number above 0")
        if not 0 <= self.weight_decay < math.inf:
            problems.append(f"weight_decay is {self.weight_decay}: give 0 or more")
        if not 0 < self.mask_least <= self.mask_most < 1:
            problems.append(
                f"masks of {self.mask_least} to {self.mask_most}: give shares between 0 and 1, the lesser "
                "first"
            )
        if not 0 < self.validation_share < 1:
            problems.append(f"validation_share is {self.validation_share}: give a share between 0 and 1")
        if self.time_limit_s is not None and not 0 < self.time_limit_s < math.inf:
            problems.append(f"time_limit_s is {self.time_limit_s}: give seconds above 0")
        if problems:
            raise UsageError("; ".join(problems))

    @property
    def is_network(self) -> bool:
        """Whether it is trained in steps."""
        return self.method in NETWORKS

    @property
    def is_random(self) -> bool:
        """Whether seeds make a difference."""
        return self.method in NETWORKS or self.method == "isolation_forest"

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return asdict(self)
