"""Adapter for the radiative transfer model 6S, where its program is installed.

6S (Vermote et al. 1997, doi:10.1109/36.581987) is run once per band; it gives three coefficients with which
surface reflectance = y / (1 + xc y), y = xa L - xb, L radiance in W m-2 sr-1 um-1. Version 2.1 also prints
xap, which takes reflectance in place of radiance. Lode does not contain 6S: the program is found in the
variable SIXS_PATH or by one of its usual names in PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from db.errors import UsageError

FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]

PROGRAMS = ("sixs", "sixsV1.1", "sixsV2.1", "6s")
TIMEOUT_S = 120
RANGE_NM = (250.0, 4000.0)
_NUMBER = r"([-+]?\d*\.?\d+(?:[Ee][-+]?\d+)?)"
_COEFFICIENTS = re.compile(
    rf"coefficients\s+(xap?)\s+xb\s+xc\s*:\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}", re.IGNORECASE
)


@dataclass(frozen=True)
class AirColumn:
    """Geometry and air of a scene.

    Attributes:
        acquired_at: UTC.
        sun_zenith_deg, sun_azimuth_deg, view_zenith_deg, view_azimuth_deg: directions.
        latitude_deg: tells the standard atmosphere (tropical, mid-latitude, subarctic; summer or winter).
        aerosol_optical_depth: at 550 nm; the aerosol is 6S's continental one.
        height_m: of the ground above the sea.
        water_g_cm2, ozone_cm_atm: contents of the column; both or neither (then the standard atmosphere's).

    """

    acquired_at: datetime
    sun_zenith_deg: float
    sun_azimuth_deg: float
    view_zenith_deg: float
    view_azimuth_deg: float
    latitude_deg: float
    aerosol_optical_depth: float
    height_m: float = 0.0
    water_g_cm2: float | None = None
    ozone_cm_atm: float | None = None


@dataclass(frozen=True)
class Coefficients:
    """What 6S prints for a band; xap is None where the version does not print it."""

    xa: float
    xb: float
    xc: float
    xap: float | None


@dataclass(frozen=True)
class SixsCorrection:
    """surface = y / (1 + xc y), y = slope * value - xb, by band; value is top-of-atmosphere reflectance."""

    slope: Vector
    xb: Vector
    xc: Vector

    def apply(self, strip: FloatArray) -> FloatArray:
        """Correct reflectance at the top of the atmosphere (bands, height, width); NaN stays."""
        slope, xb, xc = (each[:, None, None].astype(np.float32) for each in (self.slope, self.xb, self.xc))
        y = strip * slope - xb
        corrected: FloatArray = y / (1 + xc * y)
        return corrected

    def as_json(self) -> dict[str, Any]:
        """Coefficients for the catalogue."""
        return {name: [float(v) for v in getattr(self, name)] for name in ("slope", "xb", "xc")}


def find_program() -> str:
    """Path of the 6S program.

    Raises:
        UsageError: there is none.

    """
    named = os.environ.get("SIXS_PATH")
    if named:
        if not (os.path.isfile(named) and os.access(named, os.X_OK)):
            raise UsageError(f"SIXS_PATH names {named}, which is no program that may be run")
        return named
    for program in PROGRAMS:
        found = shutil.which(program)
        if found:
            return found
    raise UsageError(
        "--atmosphere 6s needs the program 6S, which is not installed: build it from its authors' "
        "source (or take "
        "conda-forge's package sixs) and put it into PATH or name it in SIXS_PATH; dark-object needs nothing"
    )


def input_deck(air: AirColumn, center_nm: float, width_nm: float) -> str:
    """Input of 6S for one band with an even response over its width.

    The lines are those of the 6S manual, part 1: geometry (0: user's), atmosphere, aerosol (1: continental),
    visibility 0 and optical depth, target height (km, below 0), sensor (-1000: satellite), band (0: limits in
    um with an even response), homogeneous ground without directional effects of constant reflectance 0.2,
    Lambertian atmospheric correction (0) of an apparent reflectance (below 0) of 0.2, and no polarisation of
    the ground (5, which earlier versions do not read).

    Raises:
        UsageError: the band lies outside of what 6S computes.

    """
    low, high = center_nm - width_nm / 2, center_nm + width_nm / 2
    if not (width_nm > 0 and low >= RANGE_NM[0] and high <= RANGE_NM[1]):
        raise UsageError(
            f"a band at {center_nm:g} nm, {width_nm:g} nm wide: 6S computes {RANGE_NM[0]:g} to "
            f"{RANGE_NM[1]:g} nm"
        )
    at = air.acquired_at
    own_gases = air.water_g_cm2 is not None and air.ozone_cm_atm is not None
    lines = [
        "0",
        f"{air.sun_zenith_deg:.3f} {air.sun_azimuth_deg:.3f} {air.view_zenith_deg:.3f} "
        f"{air.view_azimuth_deg:.3f} {at.month} {at.day}",
        *(
            ["8", f"{air.water_g_cm2:.3f} {air.ozone_cm_atm:.3f}"]
            if own_gases
            else [str(_standard_atmosphere(air.latitude_deg, at.month))]
        ),
        "1",
        "0",
        f"{air.aerosol_optical_depth:.4f}",
        f"{-max(air.height_m, 0.0) / 1000.0:.3f}",
        "-1000",
        "0",
        f"{low / 1000.0:.4f} {high / 1000.0:.4f}",
        "0",
        "0",
        "0",
        "0.2",
        "0",
        "-0.2",
        "5",
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


def parse_output(text: str) -> Coefficients:
    """The coefficients in the output of 6S.

    Raises:
        UsageError: they are not in it.

    """
    found = {name.lower(): (a, b, c) for name, a, b, c in _COEFFICIENTS.findall(text)}
    if "xa" not in found:
        last = " / ".join(line.strip(" *") for line in text.splitlines()[-3:])
        raise UsageError(f"6S gave no coefficients; it ended with: {last or 'nothing'}")
    xa, xb, xc = (float(value) for value in found["xa"])
    return Coefficients(xa, xb, xc, float(found["xap"][0]) if "xap" in found else None)


def fit_sixs(
    air: AirColumn, center_nm: Vector, width_nm: Vector, radiance_per_reflectance: Vector
) -> SixsCorrection:
    """Run 6S for each band, several at a time.

    Args:
        air: geometry and air.
        center_nm: centre wavelengths, nm.
        width_nm: full widths at half maximum, nm.
        radiance_per_reflectance: radiance of reflectance 1 at the top of the atmosphere, by band; used
            where 6S does not print xap.

    Raises:
        UsageError: the program is missing, fails or says nothing that is understood.

    """
    program = find_program()
    decks = [input_deck(air, float(c), float(w)) for c, w in zip(center_nm, width_nm, strict=True)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda deck: _run(program, deck), decks))
    slope = [
        each.xa * radiance if each.xap is None else each.xap
        for each, radiance in zip(found, radiance_per_reflectance, strict=True)
    ]
    return SixsCorrection(
        np.array(slope, float), np.array([each.xb for each in found]), np.array([each.xc for each in found])
    )


def _run(program: str, deck: str) -> Coefficients:
    # Version 2.1 writes its output into a file of its working folder, earlier ones to the screen.
    with tempfile.TemporaryDirectory(prefix="lode-6s-") as folder:
        try:
            done = subprocess.run(
                [program],
                input=deck,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=True,
                cwd=folder,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise UsageError(f"{program}: 6S failed: {error}") from None
        written = Path(folder) / "sixs.out"
        return parse_output(done.stdout + (written.read_text() if written.is_file() else ""))
