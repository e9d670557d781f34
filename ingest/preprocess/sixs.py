"""Adapter for the radiative transfer model 6S, where its program is installed.

6S (Vermote et al. 1997, doi:10.1109/36.581987) is run once per band; it gives three coefficients with which
surface reflectance = y / (1 + xc y), y = xa L - xb, L radiance in W m-2 sr-1 um-1. Lode does not contain 6S:
the program is found in the variable SIXS_PATH or as ``sixs``, ``sixsV1.1`` or ``6s`` in PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]

PROGRAMS = ("sixs", "sixsV1.1", "sixsV2.1", "6s")
TIMEOUT_S = 120
_STEP_UM = 0.0025
_COEFFICIENTS = re.compile(
    r"coefficients xa xb xc\s*:?\s*\*?\s*([-+\d.Ee]+)\s+([-+\d.Ee]+)\s+([-+\d.Ee]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class AirColumn:
    """Geometry and air of a scene.

    Attributes:
        acquired_at: UTC.
        sun_zenith_deg, sun_azimuth_deg, view_zenith_deg, view_azimuth_deg: directions.
        latitude_deg: tells the standard atmosphere (tropical, mid-latitude, subarctic; summer or winter).
        aerosol_optical_depth: at 550 nm.
        height_m: of the ground above the sea.

    """

    acquired_at: datetime
    sun_zenith_deg: float
    sun_azimuth_deg: float
    view_zenith_deg: float
    view_azimuth_deg: float
    latitude_deg: float
    aerosol_optical_depth: float
    height_m: float = 0.0


@dataclass(frozen=True)
class SixsCorrection:
    """surface = y / (1 + xc y), y = xa * radiance_per_reflectance * value - xb, by band."""

    xa: npt.NDArray[np.float64]
    xb: npt.NDArray[np.float64]
    xc: npt.NDArray[np.float64]
    radiance_per_reflectance: npt.NDArray[np.float64]

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct reflectance at the top of the atmosphere (bands, height, width); NaN stays."""
        slope = (self.xa * self.radiance_per_reflectance)[:, None, None].astype(np.float32)
        y = strip * slope - self.xb[:, None, None].astype(np.float32)
        corrected: FloatArray = y / (1 + self.xc[:, None, None].astype(np.float32) * y)
        return corrected

    def as_json(self) -> dict[str, Any]:
        """Coefficients for the catalogue."""
        return {name: [float(v) for v in getattr(self, name)] for name in ("xa", "xb", "xc")}


def find_program() -> str:
    """Path of the 6S program.

    Raises:
        UsageError: there is none.

    """
    named = os.environ.get("SIXS_PATH")
    if named:
        if not os.access(named, os.X_OK):
            raise UsageError(f"SIXS_PATH names {named}, which is no program that may be run")
        return named
    for program in PROGRAMS:
        found = shutil.which(program)
        if found:
            return found
    raise UsageError(
        "--atmosphere 6s needs the program 6S, which is not installed: build it from its authors' source "
        "and put "
        "it into PATH or name it in SIXS_PATH; dark-object needs nothing"
    )


def input_deck(air: AirColumn, center_nm: float, width_nm: float) -> str:
    """Input of 6S for one band with an even response over its width.

    The lines are those of the 6S manual, part 1: geometry (0: user's), atmosphere, aerosol (1: continental),
    visibility 0 and optical depth, target height (km below 0), sensor (-1000: satellite), band (-2 would
    print intermediate steps; 1: user's limits and response), homogeneous Lambertian ground of reflectance
    0.2 and atmospheric correction of that reflectance.
    """
    at = air.acquired_at
    low, high = (center_nm - width_nm / 2) / 1000.0, (center_nm + width_nm / 2) / 1000.0
    count = max(2, round((high - low) / _STEP_UM) + 1)
    high = low + (count - 1) * _STEP_UM
    lines = [
        "0",
        f"{air.sun_zenith_deg:.3f} {air.sun_azimuth_deg:.3f} {air.view_zenith_deg:.3f} "
        f"{air.view_azimuth_deg:.3f} {at.month} {at.day}",
        str(_standard_atmosphere(air.latitude_deg, at.month)),
        "1",
        "0",
        f"{air.aerosol_optical_depth:.4f}",
        f"{-air.height_m / 1000.0:.3f}",
        "-1000",
        "1",
        f"{low:.4f} {high:.4f}",
        " ".join(["1.0"] * count),
        "0",
        "0",
        "0",
        "0.2",
        "-0.2",
    ]
    return "\n".join(lines) + "\n"


def _standard_atmosphere(latitude_deg: float, month: int) -> int:
    """Number of the standard atmosphere: 1 tropical, 2 and 3 mid-latitude, 4 and 5 subarctic."""
    is_summer = (4 <= month <= 9) == (latitude_deg >= 0)
    if abs(latitude_deg) < 23.5:
        return 1
    if abs(latitude_deg) < 55.0:
        return 2 if is_summer else 3
    return 4 if is_summer else 5


def parse_output(text: str) -> tuple[float, float, float]:
    """The coefficients xa, xb, xc in the output of 6S.

    Raises:
        UsageError: they are not in it.

    """
    found = _COEFFICIENTS.search(text)
    if found is None:
        last = " / ".join(line.strip(" *") for line in text.splitlines()[-3:])
        raise UsageError(f"6S gave no coefficients; it ended with: {last or 'nothing'}")
    xa, xb, xc = (float(value) for value in found.groups())
    return xa, xb, xc


def fit_sixs(
    air: AirColumn,
    center_nm: npt.NDArray[np.float64],
    width_nm: npt.NDArray[np.float64],
    radiance_per_reflectance: npt.NDArray[np.float64],
) -> SixsCorrection:
    """Run 6S for each band.

    Args:
        air: geometry and air.
        center_nm: centre wavelengths, nm.
        width_nm: full widths at half maximum, nm.
        radiance_per_reflectance: radiance of reflectance 1 at the top of the atmosphere, by band.

    Raises:
        UsageError: the program is missing, fails or says nothing that is understood.

    """
    program = find_program()
    rows = []
    for center, width in zip(center_nm, width_nm, strict=True):
        try:
            done = subprocess.run(  # the program that the user installed
                [program],
                input=input_deck(air, float(center), float(width)),
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(f"{program}: 6S failed at {center:g} nm: {error}") from None
        rows.append(parse_output(done.stdout))
    xa, xb, xc = np.array(rows, float).T
    return SixsCorrection(xa, xb, xc, np.asarray(radiance_per_reflectance, float))
