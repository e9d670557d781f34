"""Symbols of chemical elements and oxides, as geochemical surveys name their layers."""

from __future__ import annotations

from db.errors import UsageError

_ELEMENTS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br
Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er
Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U
"""
_OXIDES = """
SiO2 TiO2 Al2O3 Fe2O3 TFe2O3 FeO MnO MgO CaO Na2O K2O P2O5 H2O CO2 SO3 Li2O Rb2O Cs2O BeO B2O3
SrO BaO ZrO2 HfO2 Nb2O5 Ta2O5 WO3 MoO3 SnO2 V2O5 Cr2O3 NiO CoO CuO ZnO PbO Y2O3 La2O3 CeO2 ThO2
U3O8
"""

ELEMENTS = tuple(_ELEMENTS.split())
"""Elements found in nature, by atomic number."""

OXIDES = tuple(_OXIDES.split())
"""Oxides that analyses give; TFe2O3 is all iron as Fe2O3."""

KNOWN = (*ELEMENTS, *OXIDES)


def check_element(symbol: str, where: str) -> str:
    """Return a symbol if it is that of an element or oxide.

    Args:
        symbol: as written, capitals and small letters matter: Co is cobalt, CO is none.
        where: who said it, for the message.

    Raises:
        UsageError: it is none; the message lists what is known.

    """
    if symbol in KNOWN:
        return symbol
    alike = [known for known in KNOWN if known.lower() == symbol.lower()]
    meant = f"; is {' or '.join(alike)} meant?" if alike else "."
    raise UsageError(
        f"{where}: {symbol!r} is no element or oxide{meant} Known are {' '.join(ELEMENTS)} and "
        f"{' '.join(OXIDES)}; a layer of something else is named with --name and has no --element"
    )
