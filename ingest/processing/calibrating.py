"""Which coefficients turn a part's stored values into reflectance: the product's own or the catalogue's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from psycopg import Connection

from db.calibration import Coefficients, coefficients
from db.errors import UsageError
from ingest.preprocess.calibration import LinearCalibration, reflectance_factors
from ingest.preprocess.solar_spectrum import solar_irradiance
from ingest.processing.treatment import Treatment
from ingest.products.product import Band, Layer, Level, Part, Product


def calibration_of(
    conn: Connection[Any], product: Product, part: Part, treatment: Treatment
) -> tuple[LinearCalibration, Level, dict[str, Any]]:
    """Find how stored values become reflectance.

    Digital numbers take the coefficients of the instrument's camera and year in ``lode.calibration``;
    radiance is divided by the solar irradiance that the product states, or that of the solar spectrum in the
    band.

    Returns:
        The calibration, what calibrated values are, and the step for the catalogue.

    Raises:
        UsageError: coefficients, wavelengths or the sun's elevation are missing.

    """
    own = LinearCalibration(
        scale=np.array([layer.scale for layer in part.layers]),
        offset=np.array([layer.scale * layer.offset for layer in part.layers]),
    )
    if part.level in ("toa_reflectance", "surface_reflectance"):
        if not treatment.calibrate:
            raise UsageError(f"{product.name}: holds {part.level} already; leave --level digital_number out")
        return own, part.level, {"step": "calibrated", "source": "product", **own.as_json()}
    if not treatment.calibrate:
        said = {"step": "calibrated", "source": "none", "text": "left as the numbers of the file, as asked"}
        count = len(part.layers)
        return LinearCalibration(np.ones(count), np.zeros(count)), "digital_number", said
    if product.sun_elevation_deg is None:
        raise UsageError(
            f"{product.name}: does not say the sun's elevation, without which there is no reflectance; "
            "--level digital_number stores the values as they are"
        )
    if part.level == "digital_number":
        year = treatment.calibration_year or product.acquired_at.year
        names = [layer.band.name for layer in part.layers]
        stored = coefficients(conn, part.sensor, part.camera, names, year)
        found = tuple(
            _with_irradiance(each, layer.band, product.name)
            for each, layer in zip(stored, part.layers, strict=True)
        )
        source = sorted({each.source for each in found})
        text = f"calibrated with the coefficients of {part.sensor} {part.camera} for {year}".replace(
            "  ", " "
        )
    else:
        found = tuple(_of_radiance(layer, product.name) for layer in part.layers)
        source, year = ["product"], product.acquired_at.year
        text = "calibrated with the product's own coefficients"
    calibration = reflectance_factors(found, product.acquired_at, product.sun_elevation_deg)
    step = {
        "step": "calibrated",
        "source": source,
        "year": year,
        "sun_elevation_deg": product.sun_elevation_deg,
        **calibration.as_json(),
        "text": f"{text}: top-of-atmosphere reflectance",
    }
    return calibration, "toa_reflectance", step


def _of_radiance(layer: Layer, name: str) -> Coefficients:
    """Coefficients of a band whose gain and offset the product states."""
    own = Coefficients(layer.band.name, layer.scale, layer.scale * layer.offset, layer.esun, 0, "product")
    return _with_irradiance(own, layer.band, name)


def _with_irradiance(found: Coefficients, band: Band, name: str) -> Coefficients:
    """Coefficients with the solar irradiance of a standard spectrum where nobody published the band's."""
    if found.esun is not None:
        return found
    if band.center_nm is None or band.width_nm is None:
        raise UsageError(f"{name}: neither wavelength nor solar irradiance of band {band.name} is known")
    esun = solar_irradiance(band.center_nm, band.width_nm)
    return replace(found, esun=esun, source=f"{found.source}; solar irradiance of ASTM G173")
