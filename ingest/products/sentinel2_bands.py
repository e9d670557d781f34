"""Bands of Sentinel-2's multispectral instrument, and when its products began to carry an offset.

Sources: ESA, Sentinel-2 Products Specification Document (band numbers, native resolutions); ESA, Sentinel-2
spectral response functions (widths at half maximum, Sentinel-2A).
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.products.product import Band

SENSOR = "sentinel2_msi"

OFFSET_BASELINE = 4.0
"""From this processing baseline on (25 January 2022) stored values are shifted by an offset that the metadata
state; before it there is none."""

OFFSET = -1000.0
"""The offset of every band so far, for catalogues that name the baseline and leave the offset out."""

QUANTIFICATION = 10_000.0

NODATA = 0.0


@dataclass(frozen=True)
class NativeBand:
    """A band: its number in the metadata, what is known of it, and its native pixel size."""

    number: int
    band: Band
    resolution_m: float


_FIGURES = (
    ("B01", "coastal", 442.7, 21.0, 60.0),
    ("B02", "blue", 492.4, 66.0, 10.0),
    ("B03", "green", 559.8, 36.0, 10.0),
    ("B04", "red", 664.6, 31.0, 10.0),
    ("B05", "rededge071", 704.1, 15.0, 20.0),
    ("B06", "rededge075", 740.5, 15.0, 20.0),
    ("B07", "rededge078", 782.8, 20.0, 20.0),
    ("B08", "nir", 832.8, 106.0, 10.0),
    ("B8A", "nir08", 864.7, 21.0, 20.0),
    ("B09", "nir09", 945.1, 20.0, 60.0),
    ("B10", "cirrus", 1373.5, 31.0, 60.0),
    ("B11", "swir16", 1613.7, 91.0, 20.0),
    ("B12", "swir22", 2202.4, 175.0, 20.0),
)

BANDS: tuple[NativeBand, ...] = tuple(
    NativeBand(number, Band(name, common, center, width), resolution)
    for number, (name, common, center, width, resolution) in enumerate(_FIGURES)
)
BY_NAME = {native.band.name: native for native in BANDS}
