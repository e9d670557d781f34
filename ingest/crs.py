"""Which coordinate reference system a file really has, and whether positions in it can be trusted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from pyproj import CRS, Transformer
from pyproj.enums import WktVersion
from pyproj.exceptions import CRSError, ProjError
from pyproj.transformer import TransformerGroup

from db.errors import UsageError

WGS84_SRID = 4326
SAME_PLACE_M = 1e-4
"""Two definitions are one CRS when a million metres from the centre they differ by less, in metres."""

GEOCENTRIC_SEMI_MAJOR_M = 6378137.0
"""Semi-major axis of WGS 84, GRS 1980 and CGCS2000, metres."""

_UNKNOWN_DATUM = ("unknown", "unnamed", "not specified", "not_specified", "undefined")


@dataclass(frozen=True)
class FileCrs:
    """The CRS of a file.

    Attributes:
        crs: its definition; coordinates are always taken as x (east), y (north).
        srid: its EPSG code; None when it has none.
        name: for messages.

    """

    crs: CRS
    srid: int | None
    name: str

    @property
    def is_metric(self) -> bool:
        """Whether it is a plane whose coordinates are metres."""
        return self.crs.is_projected and all(
            axis.unit_conversion_factor == 1 for axis in self.crs.axis_info[:2] if axis.unit_name != "degree"
        )

    def to_wgs84(self) -> Transformer:
        """Transformer to longitude and latitude."""
        return Transformer.from_crs(self.crs, WGS84_SRID, always_xy=True)

    def doubt(self) -> str | None:
        """Say what stands against the transformation to WGS 84; None when nothing does.

        Without a known datum transformation PROJ takes longitude and latitude as they are. That is right
        for datums tied to the Earth's centre (CGCS2000, ETRS89), and wrong by up to a few hundred metres
        for older ones (Xian 1980).
        """
        base = self.crs.geodetic_crs
        ellipsoid = base.ellipsoid if base is not None else None
        if ellipsoid is not None and abs(ellipsoid.semi_major_metre - GEOCENTRIC_SEMI_MAJOR_M) < 0.5:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a better transformation's grid is not installed
            known = TransformerGroup(self.crs, WGS84_SRID, always_xy=True).transformers
        if any("Ballpark" not in each.description for each in known):
            return None
        return (
            f"no datum transformation from {self.name} to WGS 84 is known here: "
            "positions may be off by up to a few hundred metres"
        )


def file_crs(definition: str | CRS | None, name: str) -> FileCrs:
    """Understand the CRS a file states.

    Args:
        definition: WKT, ``EPSG:n`` or None.
        name: the file, for messages.

    Raises:
        UsageError: there is none, it is local, cannot be understood, or its datum is unknown.

    """
    if not definition:
        raise UsageError(f"{name}: states no coordinate reference system, so nobody knows where it lies")
    try:
        crs = CRS.from_user_input(definition)
    except CRSError as error:
        raise UsageError(f"{name}: its coordinate reference system cannot be understood: {error}") from None
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    is_tied = crs.is_bound
    if crs.is_bound and crs.source_crs is not None and _epsg_code(crs.source_crs) is not None:
        crs = crs.source_crs
    if not (crs.is_projected or crs.is_geographic or (is_tied and crs.source_crs is not None)):
        raise UsageError(
            f"{name}: its coordinate reference system ({crs.name}) is {crs.type_name.lower()}: "
            "it is not tied to the Earth; state the right one"
        )
    if not is_tied and _has_unknown_datum(crs):
        raise UsageError(
            f"{name}: the datum of its coordinate reference system ({crs.name}) is unknown, so positions "
            "may be off by hundreds of metres; state the right one, for instance with gdal_edit.py -a_srs"
        )
    srid = _epsg_code(crs)
    return FileCrs(
        CRS.from_epsg(srid) if srid is not None else crs, srid, f"EPSG:{srid}" if srid else crs.name
    )


def _has_unknown_datum(crs: CRS) -> bool:
    base = crs.geodetic_crs
    if base is None or base.datum is None:
        return True
    name = base.datum.name.lower()
    return any(word in name for word in _UNKNOWN_DATUM)


def _epsg_code(crs: CRS) -> int | None:
    """EPSG code of a CRS: its own, else that of a CRS with the same datum and the same numbers."""
    if crs.is_bound:
        return None
    own = crs.to_epsg(min_confidence=100)
    if own is not None:
        return int(own)
    for found in crs.list_authority("EPSG", min_confidence=25):
        candidate = CRS.from_epsg(int(found.code))
        if _is_same(crs, candidate):
            return int(found.code)
    return None


def _is_same(crs: CRS, candidate: CRS) -> bool:
    if (
        crs.is_projected != candidate.is_projected
        or crs.geodetic_crs is None
        or candidate.geodetic_crs is None
    ):
        return False
    if _datum_key(crs) != _datum_key(candidate):
        return False
    if not crs.is_projected:
        return True
    try:
        forward = Transformer.from_crs(crs, candidate, always_xy=True)
        area = candidate.area_of_use
        if area is None:
            return False
        lon = np.linspace(area.west, area.east, 7)[1:-1]
        lat = np.linspace(area.south, area.north, 7)[1:-1]
        grid_lon, grid_lat = np.meshgrid(lon, lat)
        project = Transformer.from_crs(candidate.geodetic_crs, candidate, always_xy=True)
        x, y = project.transform(grid_lon.ravel(), grid_lat.ravel())
        there_x, there_y = forward.transform(x, y)
    except (ProjError, CRSError):
        return False
    return bool(np.max(np.hypot(np.subtract(there_x, x), np.subtract(there_y, y))) < SAME_PLACE_M)


def _datum_key(crs: CRS) -> tuple[str, float, float]:
    base = crs.geodetic_crs
    if base is None or base.datum is None or base.ellipsoid is None:
        return (crs.to_wkt(WktVersion.WKT2_2019), 0.0, 0.0)
    name = base.datum.name.lower().removesuffix(" ensemble").replace("_", " ").removeprefix("d ")
    if name in ("world geodetic system 1984", "wgs 1984"):
        name = "wgs 1984"
    return (name, round(base.ellipsoid.semi_major_metre, 3), round(base.ellipsoid.inverse_flattening, 6))
