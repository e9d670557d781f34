"""What a product reader finds out: which rasters a product holds, and what their numbers mean.

A reader looks at side files only. It opens no pixels, knows no database and decides nothing about
processing: it says what is there, or refuses with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from rasterio.rpc import RPC

from ingest.files import SourceFile

Level = Literal["digital_number", "radiance", "toa_reflectance", "surface_reflectance"]
Role = Literal["multispectral", "panchromatic", "forward", "backward", "vnir", "swir"]
ROLES: tuple[Role, ...] = get_args(Role)
MaskKind = Literal["sentinel2_scl", "sentinel2_classification", "landsat_qa_pixel", "cloud_mask"]


@dataclass(frozen=True)
class Band:
    """A band of a product.

    Attributes:
        name: as in ``lode.sensor_band`` where the instrument is known there, else the product's own.
        common_name: name shared between instruments (blue, red, nir, pan, ...), where there is one.
        center_nm: centre wavelength, nm.
        width_nm: full width at half maximum, nm.
        fault: why the band is not to be used, as the product says (dead, water vapour, ...); None when it is
            fine.

    """

    name: str
    common_name: str | None = None
    center_nm: float | None = None
    width_nm: float | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Layer:
    """One band of a part: where its pixels lie and what they mean.

    value = (stored + offset) * scale, in the unit of the part's level; radiance in W m-2 sr-1 um-1. For
    digital numbers that the product does not calibrate, offset is 0 and scale 1.

    Attributes:
        band: the band.
        files: the raster; several when it is cut into tiles that share one grid.
        index: band number in each file, from 1.
        offset, scale: meaning of the stored values.
        esun: exo-atmospheric solar irradiance in the band, W m-2 um-1, where the product says it.

    """

    band: Band
    files: tuple[SourceFile, ...]
    index: int
    offset: float = 0.0
    scale: float = 1.0
    esun: float | None = None


@dataclass(frozen=True)
class Part:
    """Bands of a product that lie on one pixel grid, or (Sentinel-2) on grids that nest.

    Attributes:
        role: what they are.
        sensor: key of the instrument in ``lode.sensor``.
        camera: which camera or satellite of that instrument, as in ``lode.calibration``; "" for one.
        level: what the values of the layers are.
        layers: the bands, in the product's order.
        width_px, height_px: size that the side files state; None when they do not.
        resolution_m: nominal pixel size, m.
        rpc: rational polynomials, for images in sensor geometry; None for georeferenced ones. Offsets count
            as GDAL's do: the centre of the first pixel is line 0, sample 0.
        corners: longitude and latitude of the upper left, upper right, lower right and lower left corner as
            the side files state them; None when they do not.
        nodata: value of pixels without data in every layer, where the product defines one.

    """

    role: Role
    sensor: str
    camera: str
    level: Level
    layers: tuple[Layer, ...]
    width_px: int | None
    height_px: int | None
    resolution_m: float
    rpc: RPC | None = None
    corners: tuple[tuple[float, float], ...] | None = None
    nodata: float | None = None


@dataclass(frozen=True)
class Mask:
    """A product's own mask of cloud, shadow and snow: a raster whose values ``kind`` explains."""

    kind: MaskKind
    file: SourceFile
    index: int = 1


@dataclass(frozen=True)
class PackageFile:
    """A file of the package that counts: its name inside the package, size and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Product:
    """A product of a data centre.

    Attributes:
        family: which reader read it.
        name: the data centre's name of the product (scene), without an ending.
        acquired_at: moment of acquisition with time zone UTC.
        parts: what it holds; the first is the one that becomes a scene by default.
        masks: the product's own masks.
        sun_azimuth_deg, sun_elevation_deg: direction to the sun at the scene's centre; azimuth from north
            over east.
        view_zenith_deg, view_azimuth_deg: direction to the sensor at the scene's centre; zenith 0 at nadir.
        cloud_fraction: share of cloud as the product states it, 0..1.
        metadata: what else the side files say and people look up (orbit, path and row, level, ...), JSON.
        files: every file of the product that was read or is needed.
        notes: doubts about the product that a user should read.

    """

    family: str
    name: str
    acquired_at: datetime
    parts: tuple[Part, ...]
    masks: tuple[Mask, ...] = ()
    sun_azimuth_deg: float | None = None
    sun_elevation_deg: float | None = None
    view_zenith_deg: float | None = None
    view_azimuth_deg: float | None = None
    cloud_fraction: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[PackageFile, ...] = ()
    notes: tuple[str, ...] = ()
