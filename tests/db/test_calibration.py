"""Radiometric coefficients in the database, and the table that brings them in."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import TupleRow

from db.calibration import CalibrationRow, Coefficients, coefficients, store
from db.errors import UsageError
from ingest.files import SourceFile
from ingest.preprocess.solar import earth_sun_distance_au
from ingest.processing.calibrating import calibration_of
from ingest.processing.treatment import Treatment
from ingest.products.instruments import image_of
from ingest.products.product import Layer, Part, Product
from tests.conftest import RunLode

BANDS = ("blue", "green", "red", "nir")
HEAD = "sensor,camera,band,year,gain,offset,esun,source\n"

Connection = psycopg.Connection[TupleRow]


def test_published_coefficients_come_with_the_database(conn: Connection) -> None:
    found = coefficients(conn, "gf2_pms", "PMS1", BANDS, 2021)
    assert [each.gain for each in found] == [0.1374, 0.1784, 0.1723, 0.1894]
    assert all(each.offset == 0 and each.source for each in found)
    assert [each.esun for each in found] == pytest.approx([1941.76, 1853.73, 1541.79, 1086.47])
    # In the order asked for.
    assert [each.band for each in coefficients(conn, "gf2_pms", "PMS1", ("nir", "blue"), 2021)] == [
        "nir",
        "blue",
    ]


@pytest.mark.parametrize(
    ("sensor", "camera", "bands", "year", "said"),
    [
        ("gf2_pms", "PMS1", BANDS, 2031, "the nearest year is 2022"),
        ("gf2_pms", "PMS1", BANDS, 2001, "the nearest year is 2014"),
        ("gf2_pms", "PMS7", BANDS, 2021, "no calibration coefficients of gf2_pms PMS7"),
        ("sentinel2_msi", "", ("B04",), 2021, "no calibration coefficients of sentinel2_msi"),
        ("gf2_pms", "PMS1", ("blue", "purple"), 2021, "lack band purple"),
    ],
)
def test_missing_years_name_the_nearest(
    conn: Connection, sensor: str, camera: str, bands: tuple[str, ...], year: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        coefficients(conn, sensor, camera, bands, year)


def test_users_store_and_replace(conn: Connection) -> None:
    rows = [
        CalibrationRow("gf2_pms", "PMS1", Coefficients(band, 0.15, -0.2, 1900.0, 2031, "ours"))
        for band in BANDS
    ]
    assert store(conn, rows, replace=False).new == 4
    assert store(conn, rows, replace=False).unchanged == 4
    assert coefficients(conn, "gf2_pms", "PMS1", BANDS, 2031)[0].offset == -0.2
    other = [CalibrationRow("gf2_pms", "PMS1", Coefficients("blue", 0.16, 0, 1900.0, 2031, "ours"))]
    with pytest.raises(UsageError, match="--replace"):
        store(conn, other, replace=False)
    assert store(conn, other, replace=True).replaced == 1
    assert coefficients(conn, "gf2_pms", "PMS1", ("blue",), 2031)[0].gain == 0.16


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sensor,band\ngf2_pms,blue\n", "column camera, year, gain, offset, esun, source is missing"),
        (HEAD, "holds no coefficients"),
        (HEAD + "gf2_pms,PMS1,blue,2013,zero,0,1900,ours\n", "line 2: gain 'zero' is not a number"),
        (HEAD + "gf2_pms,PMS1,blue,2013,-0.1,0,1900,ours\n", "must be above 0"),
        (HEAD + "gf2_pms,PMS1,blue,1066,0.1,0,1900,ours\n", "year '1066'"),
        (HEAD + "gf2_pms,PMS1,purple,2023,0.1,0,1900,ours\n", "purple"),
        (HEAD + "gf9_pms,PMS1,blue,2023,0.1,0,1900,ours\n", "gf9_pms"),
        (HEAD + "gf2_pms,PMS1,blue,2023,0.1,0\n", "another number of values"),
        (HEAD + "gf2_pms,PMS1,blue,2023,0.1,0,1900,ours\ngf2_pms,PMS1,blue,2023,0.2,0,1900,ours\n", "blue"),
    ],
)
def test_wrong_tables_go_in_not_at_all(
    run_lode: RunLode, conn: Connection, tmp_path: Path, text: str, said: str
) -> None:
    [(before,)] = conn.execute("select count(*) from lode.calibration").fetchall()
    conn.rollback()
    (tmp_path / "table.csv").write_text(text)
    done = run_lode("ingest", "calibration", tmp_path / "table.csv")
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert "table.csv" in done.stderr
    [(after,)] = conn.execute("select count(*) from lode.calibration").fetchall()
    assert after == before


def test_irradiance_that_nobody_published_is_that_of_the_spectrum(conn: Connection) -> None:
    bands = image_of("ZY301", "MUX", "MUX")
    assert bands is not None
    file = SourceFile(Path("x.tif"), "x.tif", 1, (0, 0))
    layers = tuple(Layer(band, (file,), place) for place, band in enumerate(bands.bands, 1))
    part = Part("multispectral", bands.sensor, bands.camera, "digital_number", layers, 10, 10, 5.8)
    at = datetime(2018, 6, 1, 3, tzinfo=UTC)
    product = Product("cresda", "p", at, (part,), sun_elevation_deg=60.0)
    year = conn.execute("select max(year) from lode.calibration where camera = 'ZY3-01'").fetchone()
    assert year is not None
    calibration, level, step = calibration_of(conn, product, part, Treatment(calibration_year=year[0]))
    assert level == "toa_reflectance"
    assert "ASTM G173" in str(step["source"])
    published = coefficients(conn, bands.sensor, bands.camera, BANDS, year[0])
    light = math.sin(math.radians(60)) / (math.pi * earth_sun_distance_au(at) ** 2)
    # Round figures of the sun's spectrum in these bands, W m-2 um-1.
    for scale, each, esun in zip(calibration.scale, published, (1960, 1850, 1550, 1060), strict=True):
        assert scale == pytest.approx(each.gain / (esun * light), rel=0.02)
