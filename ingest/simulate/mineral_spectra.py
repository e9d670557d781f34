"""Spectra of ground and air from 380 to 2,520 nm, for simulated hyperspectral images.

A spectrum of ground is a smooth continuum less Gaussian absorptions. Their centres are those that spectral
libraries name (USGS splib07; Clark et al. 1990, JGR 95(B8): Al-OH near 2,205 nm, Mg-OH near 2,335 nm,
carbonate near 2,340 nm, gypsum near 1,750 nm, ferric iron near 870 nm, goethite near 920 nm, the doublet of
kaolinite near 2,162 and 2,206 nm); spodumene and beryl as in prospecting for pegmatites: weak at 2,207 nm;
strong at 830 nm, weak at 2,055, 2,155 and 2,200 nm. Depths and continua are plausible, no more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Spectrum = NDArray[np.float64]


@dataclass(frozen=True)
class GroundSpectrum:
    """A kind of ground.

    Attributes:
        knots: continuum: wavelength in nm and reflectance, from short to long.
        absorptions: centre in nm, standard deviation in nm, depth 0..1.

    """

    knots: tuple[tuple[float, float], ...]
    absorptions: tuple[tuple[float, float, float], ...] = ()

    def at(self, wavelength_nm: Spectrum) -> Spectrum:
        """Reflectance at wavelengths in nm."""
        places, values = zip(*self.knots, strict=True)
        continuum: Spectrum = np.interp(wavelength_nm, places, values)
        return continuum * _transmitted(wavelength_nm, self.absorptions)


GROUND: dict[str, GroundSpectrum] = {
    "soil": GroundSpectrum(
        ((380, 0.08), (600, 0.19), (900, 0.29), (1400, 0.37), (1800, 0.40), (2520, 0.33)),
        ((1415, 25, 0.08), (1915, 35, 0.15), (2205, 25, 0.06)),
    ),
    "vegetation": GroundSpectrum(
        (
            (380, 0.03),
            (500, 0.04),
            (550, 0.09),
            (670, 0.035),
            (690, 0.06),
            (740, 0.38),
            (900, 0.45),
            (1120, 0.44),
            (1300, 0.40),
            (1650, 0.26),
            (1850, 0.16),
            (2200, 0.12),
            (2520, 0.06),
        ),
        ((975, 20, 0.06), (1190, 30, 0.12), (1450, 55, 0.65), (1940, 60, 0.75)),
    ),
    "sericite": GroundSpectrum(
        ((380, 0.14), (600, 0.30), (900, 0.40), (1400, 0.46), (1800, 0.48), (2520, 0.36)),
        ((1410, 18, 0.15), (1912, 30, 0.15), (2205, 20, 0.28), (2350, 20, 0.12)),
    ),
    "chlorite": GroundSpectrum(
        ((380, 0.07), (560, 0.13), (900, 0.14), (1300, 0.21), (1800, 0.27), (2520, 0.20)),
        ((720, 60, 0.10), (2252, 15, 0.12), (2335, 28, 0.26)),
    ),
    "carbonate": GroundSpectrum(
        ((380, 0.26), (600, 0.40), (1000, 0.46), (1800, 0.50), (2520, 0.42)),
        ((1915, 30, 0.06), (2160, 20, 0.05), (2340, 30, 0.24)),
    ),
    "iron_oxide": GroundSpectrum(
        ((380, 0.04), (530, 0.06), (590, 0.17), (750, 0.29), (1000, 0.31), (1300, 0.38), (2520, 0.34)),
        ((870, 60, 0.28), (1915, 35, 0.10)),
    ),
    "gypsum_tailings": GroundSpectrum(
        ((380, 0.36), (600, 0.52), (1000, 0.58), (1600, 0.54), (2520, 0.36)),
        ((1447, 22, 0.35), (1750, 18, 0.16), (1942, 32, 0.50), (2215, 25, 0.14)),
    ),
    "coal": GroundSpectrum(((380, 0.035), (1000, 0.05), (2520, 0.085))),
    "water": GroundSpectrum(
        ((380, 0.05), (560, 0.07), (700, 0.03), (800, 0.012), (1000, 0.006), (2520, 0.003))
    ),
}

_FELSIC = ((380, 0.24), (600, 0.38), (900, 0.46), (1400, 0.52), (1800, 0.54), (2520, 0.46))
"""Continuum of quartz and feldspar, which all pegmatites share."""

PEGMATITE_GROUND: dict[str, GroundSpectrum] = {
    **{
        name: GROUND[name]
        for name in ("soil", "vegetation", "water", "sericite", "chlorite", "carbonate", "iron_oxide")
    },
    "clay_soil": GroundSpectrum(
        ((380, 0.10), (600, 0.24), (900, 0.34), (1400, 0.41), (1800, 0.43), (2520, 0.34)),
        ((1412, 22, 0.12), (1914, 35, 0.15), (2162, 14, 0.08), (2206, 16, 0.17)),
    ),
    "smectite_soil": GroundSpectrum(
        ((380, 0.12), (600, 0.27), (900, 0.37), (1400, 0.44), (1800, 0.46), (2520, 0.37)),
        ((1412, 22, 0.14), (1912, 35, 0.25), (2208, 16, 0.14)),
    ),
    "haematite": GroundSpectrum(
        ((380, 0.05), (530, 0.07), (590, 0.20), (750, 0.34), (1000, 0.37), (1300, 0.42), (2520, 0.38)),
        ((846, 40, 0.20), (1915, 35, 0.08)),
    ),
    "phengite": GroundSpectrum(
        ((380, 0.12), (600, 0.25), (900, 0.34), (1400, 0.41), (1800, 0.43), (2520, 0.32)),
        ((1412, 18, 0.12), (1912, 30, 0.15), (2218, 20, 0.24), (2352, 20, 0.12)),
    ),
    "goethite": GroundSpectrum(
        ((380, 0.05), (550, 0.11), (620, 0.20), (760, 0.29), (1000, 0.31), (1300, 0.38), (2520, 0.33)),
        ((920, 60, 0.26), (1915, 35, 0.12)),
    ),
    "granite": GroundSpectrum(
        ((380, 0.16), (600, 0.26), (900, 0.32), (1400, 0.37), (1800, 0.39), (2520, 0.33)),
        ((1410, 18, 0.05), (1912, 30, 0.08), (2205, 22, 0.10), (2350, 20, 0.05)),
    ),
    "barren_pegmatite": GroundSpectrum(
        _FELSIC, ((1410, 18, 0.07), (1912, 30, 0.08), (2205, 22, 0.13), (2350, 20, 0.07))
    ),
    "spodumene_pegmatite": GroundSpectrum(_FELSIC, ((1412, 18, 0.07), (1912, 30, 0.08), (2207, 14, 0.21))),
    "beryl_pegmatite": GroundSpectrum(
        _FELSIC,
        (
            (830, 30, 0.26),
            (1412, 18, 0.05),
            (1912, 30, 0.08),
            (2055, 14, 0.05),
            (2155, 14, 0.07),
            (2200, 16, 0.09),
        ),
    ),
}
"""Kinds of ground of a district with pegmatites.

Some resemble the ore on purpose: the clay of soils and the mica of sericite, granite and barren pegmatite
absorb where spodumene does, haematite where beryl does.
"""

_GASES = (
    (762.0, 6.0, 0.6),  # oxygen
    (823.0, 12.0, 0.1),
    (940.0, 22.0, 0.6),
    (1130.0, 28.0, 0.8),
    (1268.0, 8.0, 0.13),  # oxygen
    (1388.0, 34.0, 9.0),
    (1880.0, 46.0, 12.0),
    (2010.0, 14.0, 0.36),  # carbon dioxide
    (2060.0, 14.0, 0.25),  # carbon dioxide
    (2570.0, 50.0, 2.5),
)
"""Optical depth of the air on the way down and up: centre and deviation in nm, depth; water unless named.

Where water vapour is deepest next to nothing passes: about 1,350 to 1,430 and 1,800 to 1,960 nm.
"""


@dataclass(frozen=True)
class Air:
    """Air over a scene: gases, molecules and haze.

    Attributes:
        haze_depth: optical depth of the haze at 550 nm, down and up together.
        haze_reflectance: reflectance of the haze at 550 nm.

    """

    haze_depth: float
    haze_reflectance: float

    def transmittance(self, wavelength_nm: Spectrum) -> Spectrum:
        """Share of light that passes the air down and up."""
        haze = np.exp(-self.haze_depth * (550.0 / wavelength_nm) ** 1.3)
        return haze * _gases(wavelength_nm)

    def path_reflectance(self, wavelength_nm: Spectrum) -> Spectrum:
        """Reflectance of the air alone: molecules, and haze, both dimmed by the gases."""
        molecules = 0.045 * (480.0 / wavelength_nm) ** 4
        haze = self.haze_reflectance * (550.0 / wavelength_nm) ** 1.3
        return (molecules + haze) * _gases(wavelength_nm)


CLEAR = Air(haze_depth=0.22, haze_reflectance=0.012)
"""Thin haze."""


def _gases(wavelength_nm: Spectrum) -> Spectrum:
    """Share of light that gases let pass (law of Beer and Lambert)."""
    depth = np.zeros_like(wavelength_nm)
    for center, deviation, strength in _GASES:
        depth += strength * np.exp(-0.5 * ((wavelength_nm - center) / deviation) ** 2)
    return np.exp(-depth)


def _transmitted(wavelength_nm: Spectrum, absorptions: tuple[tuple[float, float, float], ...]) -> Spectrum:
    left = np.ones_like(wavelength_nm)
    for center, deviation, depth in absorptions:
        left *= 1.0 - depth * np.exp(-0.5 * ((wavelength_nm - center) / deviation) ** 2)
    return left
