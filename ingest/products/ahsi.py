"""Bands of the Ziyuan-1 hyperspectral camera (AHSI): wavelengths and calibration lie in text files.

Beside the image of each spectrometer (VNIR with 76 bands, SWIR with 90) a package holds, by band, gain and
offset of the radiance in W m-2 sr-1 um-1 (``..VNIR_RadCal.raw``) and centre and width in nm
(``..VNIR_Spectral.raw``), two numbers a line.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.package import Package
from ingest.products.product import Band, Layer, Role
from ingest.products.side_files import number, read_text

BAND_COUNTS = {"vnir": 76, "swir": 90}
_NAMES = {"vnir": ("VNIR", "VN"), "swir": ("SWIR", "SW")}
_ENDINGS = tuple(mark + name for names in _NAMES.values() for name in names for mark in "-_")
_LETTERS = {"vnir": "V", "swir": "S"}
LARGEST_GAIN, LARGEST_OFFSET = 1e3, 1e5
_LIMITS_NM = (350.0, 2600.0)
_RADIANCE, _SPECTRUM = "radcal", "spectral"


def is_spectrometer(path: str) -> bool:
    """Whether a file has the name of an image of one spectrometer, or of what describes it."""
    return PurePosixPath(path).stem.upper().endswith(_ENDINGS)


def is_band_text(path: str) -> bool:
    """Whether a file has the name of a text file with calibration or wavelengths."""
    name = PurePosixPath(path).name.lower()
    return (_RADIANCE in name or _SPECTRUM in name) and not name.endswith((".tif", ".tiff", ".xml"))


def hyperspectral_layers(
    package: Package, xml: str, role: Role, raster: SourceFile
) -> tuple[tuple[Layer, ...], list[str]]:
    """Layers of one spectrometer's image.

    Args:
        package: the package.
        xml: path of the image's XML in it.
        role: "vnir" or "swir".
        raster: the image.

    Returns:
        The layers, and the paths of the text files.

    Raises:
        UsageError: a text file is missing or does not have two numbers for every band.

    """
    count = BAND_COUNTS[role]
    radiance = _text_file(package, xml, role, _RADIANCE, "gain and offset (RadCal)")
    spectrum = _text_file(package, xml, role, _SPECTRUM, "wavelengths (Spectral)")
    gains = _pairs(package.files[radiance], count)
    wavelengths = _pairs(package.files[spectrum], count)
    centers = [center for center, _ in wavelengths]
    if centers != sorted(centers):
        raise UsageError(f"{package.files[spectrum].name}: its wavelengths do not rise from band to band")
    layers = []
    for place, ((gain, offset), (center, width)) in enumerate(zip(gains, wavelengths, strict=True), 1):
        if not _LIMITS_NM[0] <= center <= _LIMITS_NM[1] or not 0 < width < 200:
            raise UsageError(
                f"{package.files[spectrum].name}: band {place} at {center:g} nm, {width:g} nm wide? "
                "Wavelengths are wanted in nm"
            )
        if not (abs(gain) < LARGEST_GAIN and abs(offset) < LARGEST_OFFSET):
            raise UsageError(
                f"{package.files[radiance].name}: gain {gain:g} and offset {offset:g} of band {place} "
                "cannot be"
            )
        fault = None if gain > 0 else "not calibrated: its gain is not above 0"
        scale = gain if gain > 0 else 1.0
        band = Band(f"{_LETTERS[role]}{place:03d}", None, center, width, fault)
        layers.append(Layer(band, (raster,), place, offset / scale, scale))
    return tuple(layers), [radiance, spectrum]


def _text_file(package: Package, xml: str, role: str, kind: str, what: str) -> str:
    """The text file of a spectrometer, in the folder of the XML or anywhere when there is only one."""
    names = "|".join(_NAMES[role])
    wanted = re.compile(rf"(^|[^a-z])({names})([^a-z]|$)", re.IGNORECASE)
    found = [
        path
        for path in package.files
        if is_band_text(path)
        and kind in PurePosixPath(path).name.lower()
        and wanted.search(PurePosixPath(path).stem)
    ]
    beside = [path for path in found if PurePosixPath(path).parent == PurePosixPath(xml).parent]
    chosen = beside or found
    if len(chosen) != 1:
        state = "is missing from the package" if not chosen else f"is there {len(chosen)} times"
        raise UsageError(
            f"{PurePosixPath(xml).name}: the file with {what} of the {role.upper()} bands {state}"
        )
    return chosen[0]


def _pairs(file: SourceFile, count: int) -> list[tuple[float, float]]:
    """Two numbers a line, after an optional first number (the band) and with an optional heading."""
    rows = []
    for line in read_text(file).splitlines():
        cells = [cell for cell in re.split(r"[,;\s]+", line.strip()) if cell]
        if not cells or re.match(r"[A-Za-z#]", cells[0]):
            continue
        if len(cells) not in (2, 3):
            raise UsageError(
                f"{file.name}: two numbers a line are expected, and there is {line.strip()[:60]!r}"
            )
        first, second = (number(cell, "a value", file.name) for cell in cells[-2:])
        rows.append((first, second))
    if len(rows) != count:
        raise UsageError(f"{file.name}: has {len(rows)} lines of numbers for {count} bands")
    return rows
