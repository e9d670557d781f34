"""Instruments of the Gaofen and Ziyuan satellites: what side files call them, and what their images hold."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.products.product import Band, Role

_GF1 = (("blue", 450, 520), ("green", 520, 590), ("red", 630, 690), ("nir", 770, 890))
_GF6 = (("blue", 450, 520), ("green", 520, 600), ("red", 630, 690), ("nir", 760, 900))


def _from_limits(limits: tuple[tuple[str, int, int], ...]) -> tuple[Band, ...]:
    return tuple(Band(name, name, (low + high) / 2, float(high - low)) for name, low, high in limits)


FOUR = _from_limits(_GF1)
_FOUR_GF6 = _from_limits(_GF6)
_PAN = _from_limits((("pan", 450, 900),))
_PAN_ZY3 = _from_limits((("pan", 500, 800),))
_WFV_GF6 = (
    *FOUR,
    Band("rededge710", "rededge071", 710.0, 40.0),
    Band("rededge750", "rededge075", 750.0, 40.0),
    Band("violet", "coastal", 425.0, 50.0),
    Band("yellow", "yellow", 610.0, 40.0),
)
_VNIC = (
    *_from_limits((("blue", 452, 521), ("green", 522, 607), ("red", 635, 694), ("nir", 776, 895))),
    Band("coastal", "coastal", 434.0, 36.0),
    Band("yellow", "yellow", 612.0, 42.0),
    Band("rededge", "rededge071", 730.0, 44.0),
    Band("nir09", "nir09", 959.0, 176.0),
)
_VNIC_PAN = _from_limits((("pan", 452, 902),))


@dataclass(frozen=True)
class Image:
    """One image of a package.

    Attributes:
        role: what it is.
        sensor: key of the instrument in ``lode.sensor``.
        camera: as in ``lode.calibration``.
        bands: in the order of the file; empty for hyperspectral images, whose bands the package lists.

    """

    role: Role
    sensor: str
    camera: str
    bands: tuple[Band, ...]


_PMS = {"GF1B": "gf1b", "GF1C": "gf1c", "GF1D": "gf1d", "GF6": "gf6"}
_ZY3 = {"ZY3": "ZY3-01", "ZY301": "ZY3-01", "ZY302": "ZY3-02", "ZY303": "ZY3-03"}
_ZY1 = {"ZY1E": "zy1_02d", "ZY102D": "zy1_02d", "ZY1F": "zy1_02e", "ZY102E": "zy1_02e"}
_ROLES: dict[str, Role] = {"NAD": "panchromatic", "FWD": "forward", "BWD": "backward"}

KNOWN = "GF1 (PMS1, PMS2, WFV1-4), GF1B, GF1C, GF1D, GF2, GF6, GF7, ZY3 01-03, ZY1-02D and 02E (VNIC, AHSI)"


def image_of(satellite: str, sensor: str, suffix: str) -> Image | None:
    """What an image is.

    Args:
        satellite: ``SatelliteID`` of its side file.
        sensor: ``SensorID`` of its side file.
        suffix: end of the file's name that tells parts apart (MSS1, PAN1, BWDMUX, VN, ...); "" without.

    Returns:
        None for an instrument that is not known.

    """
    craft = re.sub(r"[^A-Z0-9]", "", satellite.upper())
    sensor, suffix = sensor.upper().strip(), suffix.upper()
    is_pan = suffix.startswith("PAN") or suffix.endswith("PAN")
    if craft in ("GF1", "GF2") and re.fullmatch(r"PMS[12]", sensor):
        kind: Role = "panchromatic" if is_pan else "multispectral"
        key = f"{craft.lower()}_{'pan' if is_pan else 'pms'}"
        return Image(kind, key, sensor, _PAN if is_pan else FOUR)
    if craft == "GF1" and re.fullmatch(r"WFV[1-4]", sensor):
        return Image("multispectral", "gf1_wfv", sensor, FOUR)
    if craft == "GF6" and sensor.startswith("WFV"):
        return Image("multispectral", "gf6_wfv", "", _WFV_GF6)
    if craft in _PMS and sensor.startswith("PMS"):
        bands = _FOUR_GF6 if craft == "GF6" else FOUR
        if is_pan:
            return Image("panchromatic", f"{_PMS[craft]}_pan", "", _PAN)
        return Image("multispectral", f"{_PMS[craft]}_pms", "", bands)
    if craft == "GF7":
        return _gaofen7(sensor, suffix)
    if craft in _ZY3:
        return _ziyuan3(_ZY3[craft], sensor, suffix)
    if craft in _ZY1:
        return _ziyuan1(_ZY1[craft], sensor, suffix, is_pan)
    return None


def _gaofen7(sensor: str, suffix: str) -> Image | None:
    """Two cameras: the backward one is panchromatic and multispectral, the forward one panchromatic."""
    if suffix.endswith("MUX") or sensor.endswith("MUX"):
        return Image("multispectral", "gf7_mux", "", FOUR)
    for camera in ("BWD", "FWD"):
        if suffix.startswith(camera) or sensor.startswith(camera):
            return Image(_ROLES[camera], "gf7_pan", camera, _PAN)
    return None


def _ziyuan3(camera: str, sensor: str, suffix: str) -> Image | None:
    """Three panchromatic cameras (nadir, forward, backward) and a multispectral one."""
    for what in (suffix[:3], sensor):
        if what == "MUX":
            return Image("multispectral", "zy3_mux", camera, FOUR)
        if what in _ROLES:
            return Image(_ROLES[what], "zy3_pan", camera, _PAN_ZY3)
    return None


def _ziyuan1(key: str, sensor: str, suffix: str, is_pan: bool) -> Image | None:
    if sensor.startswith("AHSI"):
        if suffix in ("VN", "VNIR"):
            return Image("vnir", f"{key}_ahsi", "", ())
        if suffix in ("SW", "SWIR"):
            return Image("swir", f"{key}_ahsi", "", ())
        return None
    if sensor.startswith("VNI"):
        if is_pan:
            return Image("panchromatic", f"{key}_vnic_pan", "", _VNIC_PAN)
        return Image("multispectral", f"{key}_vnic", "", _VNIC)
    return None
