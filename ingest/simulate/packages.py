"""Files of simulated packages in the layout of the Chinese data centre: XML, RPB, TIFF without a place."""

import copy
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC

from ingest.products.cresda_times import BEIJING
from ingest.products.rpb import rpb_text
from ingest.simulate.pushbroom import Camera, to_geographic

_CORNERS = ("TopLeft", "TopRight", "BottomRight", "BottomLeft")


def write_image(path: Path, pixels: NDArray[np.uint16]) -> None:
    """Write digital numbers (bands, lines, samples) as a TIFF that says nothing of where it lies."""
    with warnings.catch_warnings():
        # Having no place is what such an image is about.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        file = rasterio.open(
            path,
            "w",
            driver="GTiff",
            dtype="uint16",
            count=len(pixels),
            height=pixels.shape[1],
            width=pixels.shape[2],
            interleave="pixel",
        )
    with file:
        file.write(pixels)


def write_polynomials(
    path: Path, rpc: RPC, *, line_bias_px: float = 0.0, sample_bias_px: float = 0.0
) -> None:
    """Write an RPB whose offsets are wrong by a bias, as attitude errors make them."""
    biased = copy.copy(rpc)
    biased.line_off += line_bias_px
    biased.samp_off += sample_bias_px
    path.write_text(rpb_text(biased), encoding="ascii")


def write_side_file(
    path: Path,
    camera: Camera,
    *,
    satellite: str,
    sensor: str,
    product_id: int,
    acquired_at: datetime,
    sun_azimuth_deg: float,
    sun_elevation_deg: float,
    bands: str,
    cloud_percent: int,
    is_new_layout: bool,
) -> None:
    """Write an XML side file; times are Beijing's but for ReceiveTime, SatelliteZenith is an elevation."""
    local = acquired_at.astimezone(BEIJING)
    digits = 15 if is_new_layout else 4
    lines = np.array([-0.5, -0.5, camera.lines - 0.5, camera.lines - 0.5])
    samples = np.array([-0.5, camera.samples - 0.5, camera.samples - 0.5, -0.5])
    lon, lat = to_geographic(*camera.ground(lines, samples, np.zeros(4)))
    values: dict[str, object] = {
        "SatelliteID": satellite,
        **({"ReceiveStationID": "MYN"} if is_new_layout else {}),
        "SensorID": sensor,
        "ReceiveTime": f"{acquired_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "OrbitID": 12345,
        "ProduceType": "STANDARD",
        "SceneID": product_id + 1000,
        "ProductID": product_id,
        "ProductLevel": "LEVEL1A",
        "ProductQuality": "",
        "ProductFormat": "GEOTIFF",
        "ProduceTime": f"{local:%Y-%m-%d} 23:10:04",
        "Bands": bands,
        "ScenePath": 40,
        "SceneRow": 117,
        "StartTime": f"{local:%Y-%m-%d %H:%M:%S}",
        "EndTime": f"{local:%Y-%m-%d %H:%M:%S}",
        "CenterTime": f"{local:%Y-%m-%d %H:%M:%S}",
        "ImageGSD": f"{camera.gsd_m:.4g}",
        "WidthInPixels": camera.samples,
        "HeightInPixels": camera.lines,
        "CloudPercent": 101 if is_new_layout else cloud_percent,
        "RollSatelliteAngle": f"{camera.roll_deg:.{digits}f}",
        "PitchSatelliteAngle": f"{camera.pitch_deg:.{digits}f}",
        "YawSatelliteAngle": f"{0:.{digits}f}",
        "SolarAzimuth": f"{sun_azimuth_deg:.{digits}f}",
        "SolarZenith": f"{90 - sun_elevation_deg:.{digits}f}",
        "SatelliteAzimuth": f"{camera.view_azimuth_deg:.{digits}f}",
        "SatelliteZenith": f"{90 - camera.view_zenith_deg:.{digits}f}",
        "MapProjection": "",
        "EarthEllipsoid": "WGS84",
    }
    for place, corner in enumerate(_CORNERS):
        values[f"{corner}Latitude"] = f"{lat[place]:.{digits}f}"
        values[f"{corner}Longitude"] = f"{lon[place]:.{digits}f}"
    path.write_text(_xml(values), encoding="utf-8")


def _xml(values: Mapping[str, object]) -> str:
    elements = "\n".join(f"    <{key}>{escape(str(value))}</{key}>" for key, value in values.items())
    return f'<?xml version="1.0" encoding="UTF-8" ?>\n<ProductMetaData>\n{elements}\n</ProductMetaData>\n'
