"""What a user asks to be done to a scene, and which wishes cannot go together."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.product import Role

ATMOSPHERES = ("none", "dark-object", "cost", "quac", "6s")
PANSHARPENINGS = ("none", "brovey", "gram-schmidt")
CLOUDS = ("auto", "product", "find", "none")
NORMALISATIONS = ("none", "irmad", "dark", "histogram")
DENOISINGS = ("none", "mnf", "savitzky-golay")
RESAMPLINGS = ("nearest", "bilinear", "cubic")
LOWEST_GROUND_M, HIGHEST_GROUND_M, LARGEST_GEOID_M = -600.0, 9500.0, 150.0


@dataclass(frozen=True)
class Treatment:
    """Wishes about processing; the defaults are what a bare command does.

    Attributes:
        role: which part of the product becomes the scene; None: the first one.
        atmosphere: correction to surface reflectance.
        aerosol_optical_depth: at 550 nm, for 6S.
        terrain: elevation model for orthorectification; None: one height for all.
        height_m: that height above the ellipsoid, m; None: the one the polynomials are centred on.
        geoid_height_m: added to the elevation model's heights where those count from the geoid, m.
        resolution_m: pixel size of an orthorectified scene; None: the instrument's.
        resampling: how pixels are taken in orthorectification.
        pansharpen: method, or "none".
        clouds: where cloud and shadow come from: the product's own mask, found in the pixels, or (auto) the
            mask where there is one and else the pixels.
        reference: product name of a clear scene in the database; None: nothing is compared.
        register: whether the scene is moved to fit the reference.
        normalise: how its radiometry is fitted to the reference.
        fill_clouds: whether cloud and shadow are filled from the reference.
        denoise: for hyperspectral scenes.
        destripe: for hyperspectral scenes in sensor geometry.
        calibrate: whether digital numbers become reflectance.
        calibration_year: year whose coefficients are taken; None: the year of acquisition.

    """

    role: Role | None = None
    atmosphere: str = "none"
    aerosol_optical_depth: float | None = None
    terrain: SourceFile | None = None
    height_m: float | None = None
    geoid_height_m: float = 0.0
    resolution_m: float | None = None
    resampling: str = "bilinear"
    pansharpen: str = "none"
    clouds: str = "auto"
    reference: str | None = None
    register: bool = True
    normalise: str = "irmad"
    fill_clouds: bool = False
    denoise: str = "none"
    destripe: bool = True
    calibrate: bool = True
    calibration_year: int | None = None

    def check(self, *, has_clouds: bool = False) -> None:
        """Refuse wishes that cannot go together.

        Args:
            has_clouds: whether the user brings outlines of cloud.

        Raises:
            UsageError: which, and what to say instead.

        """
        for value, known, option in (
            (self.atmosphere, ATMOSPHERES, "--atmosphere"),
            (self.pansharpen, PANSHARPENINGS, "--pansharpen"),
            (self.clouds, CLOUDS, "--find-clouds"),
            (self.normalise, NORMALISATIONS, "--normalise"),
            (self.denoise, DENOISINGS, "--denoise"),
            (self.resampling, RESAMPLINGS, "--resampling"),
        ):
            if value not in known:
                raise UsageError(f"{option} {value!r} is not known; there are: {', '.join(known)}")
        if self.terrain is not None and self.height_m is not None:
            raise UsageError("--dem and --height contradict each other: state one of them")
        if self.terrain is None and self.geoid_height_m:
            raise UsageError("--geoid-height is added to an elevation model: state that with --dem")
        if self.fill_clouds and self.reference is None:
            raise UsageError("--fill-clouds takes pixels from a clear scene: name it with --reference")
        if self.fill_clouds and self.clouds == "none" and not has_clouds:
            raise UsageError("--fill-clouds needs to know where clouds are; leave --find-clouds none out")
        if self.aerosol_optical_depth is not None and self.atmosphere != "6s":
            raise UsageError("--aot is for --atmosphere 6s; leave it out")
        if self.aerosol_optical_depth is not None and not 0 <= self.aerosol_optical_depth <= 5:
            raise UsageError(f"--aot {self.aerosol_optical_depth:g}: an optical depth lies between 0 and 5")
        if self.height_m is not None and not LOWEST_GROUND_M <= self.height_m <= HIGHEST_GROUND_M:
            raise UsageError(f"--height {self.height_m:g}: no ground lies there; metres are meant")
        if abs(self.geoid_height_m) > LARGEST_GEOID_M:
            raise UsageError(
                f"--geoid-height {self.geoid_height_m:g}: the geoid lies within {LARGEST_GEOID_M:g} m of the "
                "ellipsoid"
            )
        numbers = (self.height_m, self.geoid_height_m, self.resolution_m, self.aerosol_optical_depth)
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise UsageError("heights, resolution and optical depth must be finite numbers")

    @property
    def is_plain(self) -> bool:
        """Whether nothing but the defaults was asked for, so that comparable pixels may stay as delivered."""
        return self.atmosphere == "none" and self.reference is None and self.denoise == "none"

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done at all, not even to look for clouds."""
        return self.is_plain and self.clouds == "none"

    def as_json(self) -> dict[str, Any]:
        """The wishes that differ from the defaults: equal wishes are equal dictionaries."""
        default = asdict(Treatment())
        said = {key: value for key, value in asdict(self).items() if value != default[key]}
        if self.terrain is not None:
            said["terrain"] = {"name": self.terrain.name, "sha256": self.terrain.sha256()}
        return said
