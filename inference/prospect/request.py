"""What can be chosen about a set of patches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.errors import UsageError
from db.prospect_sets import KINDS_OF_DATA
from db.wavelengths import PEGMATITE_WINDOWS_NM
from inference.prospect.channels import GeologyChoice
from inference.prospect.split import Parallel

MOST_SEED = (1 << 31) - 1
MOST_PATCH_PX = 64


@dataclass(frozen=True)
class SetRequest:
    """How a set of patches is made; all is stored with it.

    Attributes:
        name: of the set; must be free.
        product, area: the scene or the study area; exactly one of them.
        layers: layers of the area; None: all.
        windows_nm: bands of the scene whose centre lies in one of them, nm.
        geology: rasters of geology beside them.
        deposits: column and value of the deposits that count; (): all of them.
        buffer_m: ground so near a deposit is positive, m.
        patch_px: edge of the patches, cells.
        stride_px: step from one patch to the next, cells; None: half a patch.
        positive_share: share of a patch that must be positive for the patch to be.
        negatives: negative patches for each positive one.
        block_m: edge of the blocks that are held out, m; None: by the extent.
        parallel: all beyond it is the test; None: blocks are.
        seed: of split and drawing.
        is_relative: take bands relative to pixel and scene, see `inference.prospect.relative`.
        raw_contents: learn from contents of geochemistry as they are, not from their logarithms.
        data: what the ground is, of `db.prospect_sets.KINDS_OF_DATA`; None: nobody said. Models and reports
            repeat it.

    """

    name: str
    product: str | None = None
    area: str | None = None
    layers: tuple[str, ...] | None = None
    windows_nm: tuple[tuple[float, float], ...] = PEGMATITE_WINDOWS_NM
    geology: GeologyChoice = field(default_factory=GeologyChoice)
    deposits: tuple[tuple[str, str], ...] = ()
    buffer_m: float = 100.0
    patch_px: int = 10
    stride_px: int | None = None
    positive_share: float = 0.2
    negatives: int = 3
    block_m: float | None = None
    parallel: Parallel | None = None
    seed: int = 0
    is_relative: bool = False
    raw_contents: bool = False
    data: str | None = None

    def __post_init__(self) -> None:
        if (self.product is None) == (self.area is None):
            raise UsageError("name either a scene (--scene) or a study area (--area) to cut patches from")
        if self.layers is not None and self.area is None:
            raise UsageError("--layer names layers of a study area: a scene has bands, see --windows-nm")
        if self.data is not None and self.data not in KINDS_OF_DATA:
            raise UsageError(f"--data is {self.data!r}: choose one of {', '.join(KINDS_OF_DATA)}")
        if self.is_relative and self.product is None:
            raise UsageError(
                "--relative-reflectance speaks of bands of a scene: a study area has none, leave it out"
            )
        if self.raw_contents and self.area is None:
            raise UsageError(
                "--raw-contents speaks of layers of geochemistry: a scene has none, leave it out"
            )
        if not (math.isfinite(self.buffer_m) and self.buffer_m >= 0):
            raise UsageError(f"the buffer is {self.buffer_m:g} m: it must be 0 or more metres")
        if not 1 <= self.patch_px <= MOST_PATCH_PX:
            raise UsageError(f"the patch is {self.patch_px} cells wide: it must be 1 to {MOST_PATCH_PX}")
        if not 1 <= self.step_px <= self.patch_px:
            raise UsageError(
                f"the stride is {self.stride_px}: it must be 1 to {self.patch_px}, the edge of a patch, or "
                "ground is passed over"
            )
        if not 0 < self.positive_share <= 1:
            raise UsageError(f"the share is {self.positive_share:g}: it must be above 0 and at most 1")
        if self.negatives < 1:
            raise UsageError(f"negatives is {self.negatives}: at least 1 is needed for each positive patch")
        if not 0 <= self.seed <= MOST_SEED:
            raise UsageError(f"the seed is {self.seed}: it must be 0 to {MOST_SEED}")

    @property
    def step_px(self) -> int:
        """Cells from one patch to the next."""
        return max(1, self.patch_px // 2) if self.stride_px is None else self.stride_px

    def as_json(self) -> Mapping[str, Any]:
        """What of it has no column of its own in ``lode.prospect_set``."""
        settings = self.geology.settings
        return {
            "windows_nm": None if self.product is None else [list(window) for window in self.windows_nm],
            "is_relative": None if self.product is None else self.is_relative,
            "raw_contents": None if self.area is None else self.raw_contents,
            "layers": None if self.layers is None else list(self.layers),
            "deposits": [f"{column}={value}" for column, value in self.deposits] or ["all"],
            "stride_px": self.step_px,
            "negatives": self.negatives,
            "parallel_deg": None if self.parallel is None else self.parallel.latitude,
            "data": self.data,
            "geology": {
                "bands": list(self.geology.bands),
                "proximity_m": settings.proximity_m,
                "density_radius_m": settings.density_radius_m,
            },
        }
