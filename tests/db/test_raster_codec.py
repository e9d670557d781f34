"""The codec against PostGIS itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest

from db.connection import connect
from db.raster import decode_tile, encode_tile

Connection = psycopg.Connection[tuple[Any, ...]]

PLACE: dict[str, Any] = {
    "srid": 32645,
    "origin_x": 500000.5,
    "origin_y": 4860000.25,
    "resolution_x": 2.0,
    "resolution_y": 0.5,
}
TYPES = {
    "uint8": "8BUI",
    "int16": "16BSI",
    "uint16": "16BUI",
    "int32": "32BSI",
    "uint32": "32BUI",
    "float32": "32BF",
    "float64": "64BF",
}


@pytest.fixture
def postgis(postgis_url: str) -> Any:
    with connect(postgis_url) as connection:
        yield connection


def extreme_pixels(dtype: str, bands: int) -> np.ndarray[Any, Any]:
    """Noise over the whole range of the type, with its smallest and largest value."""
    random = np.random.default_rng(5)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        pixels = random.normal(0, 1e6, (bands, 6, 9)).astype(kind)
        pixels[:, 0, :4] = [np.finfo(kind).min, np.finfo(kind).max, np.finfo(kind).tiny, -0.0]
        return pixels
    limits = np.iinfo(kind)
    pixels = random.integers(limits.min, limits.max, (bands, 6, 9), dtype=kind, endpoint=True)
    pixels[:, 0, :2] = [limits.min, limits.max]
    return pixels


@pytest.mark.parametrize("dtype", TYPES)
def test_postgis_reads_what_we_encode(postgis: Connection, dtype: str) -> None:
    pixels = extreme_pixels(dtype, 3)
    nodata = [3, None, 0]
    wkb = encode_tile(pixels, nodata=nodata, **PLACE)

    facts = postgis.execute(
        "select st_srid(r), st_upperleftx(r), st_upperlefty(r), st_scalex(r), st_scaley(r), st_width(r),"
        " st_height(r), st_numbands(r) from st_rastfromwkb(%b) r",
        (wkb,),
    ).fetchone()
    assert facts == (32645, 500000.5, 4860000.25, 2.0, -0.5, 9, 6, 3)

    bands = postgis.execute(
        "select st_bandpixeltype(r, b), st_bandnodatavalue(r, b), st_bandisnodata(r, b)"
        " from st_rastfromwkb(%b) r, generate_series(1, 3) b order by b",
        (wkb,),
    ).fetchall()
    assert bands == [(TYPES[dtype], value, False) for value in nodata]

    values = postgis.execute(
        "select b, y, x, st_value(r, b, x, y, exclude_nodata_value => false)"
        " from st_rastfromwkb(%b) r,"
        " generate_series(1, 3) b, generate_series(1, 9) x, generate_series(1, 6) y",
        (wkb,),
    ).fetchall()
    read = np.empty(pixels.shape, np.float64)
    for band, row, col, value in values:
        read[band - 1, row - 1, col - 1] = value
    np.testing.assert_array_equal(read, pixels.astype(np.float64))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("nodata", [None, 7])
def test_bytes_equal_those_of_postgis(postgis: Connection, dtype: str, nodata: float | None) -> None:
    for pixels in (extreme_pixels(dtype, 2), np.full((2, 4, 5), 7, dtype), extreme_pixels(dtype, 166)):
        wkb = encode_tile(pixels, nodata=nodata, **PLACE)
        row = postgis.execute("select st_asbinary(st_rastfromwkb(%b))", (wkb,), binary=True).fetchone()
        assert row == (wkb,)


def test_bands_without_a_valid_pixel_say_so(postgis: Connection) -> None:
    pixels = np.full((3, 4, 5), 7, np.uint8)
    pixels[1, 3, 4] = 8
    row = postgis.execute(
        "select array_agg(st_bandisnodata(r, b) order by b)"
        " from st_rastfromwkb(%b) r, generate_series(1, 3) b",
        (encode_tile(pixels, nodata=[7, 7, None], **PLACE),),
    ).fetchone()
    assert row == ([True, False, False],)


def test_we_decode_what_postgis_makes(postgis: Connection) -> None:
    row = postgis.execute(
        "select st_asbinary(st_setvalues(st_addband(st_addband("
        "st_makeemptyraster(4, 3, 100, 200, 10, -20, 0, 0, 32650), '16BSI'::text, 5, -1),"
        " '16BSI'::text, 6, null),"
        " 1, 2, 1, array[[1, 2], [3, 4]]::float8[]))",
        binary=True,
    ).fetchone()
    assert row is not None
    tile = decode_tile(row[0])
    assert tile.pixels.tolist() == [[[5, 1, 2, 5], [5, 3, 4, 5], [5, 5, 5, 5]], [[6] * 4] * 3]
    assert tile.nodata == (-1, None)
    assert (tile.srid, tile.origin_x, tile.origin_y) == (32650, 100, 200)
    assert (tile.resolution_x, tile.resolution_y) == (10, 20)


@pytest.mark.parametrize(
    ("raster", "reason"),
    [
        ("st_addband(st_makeemptyraster(2, 2, 0, 0, 1, -1, 0, 0, 32650), '4BUI')", "4BUI"),
        ("st_addband(st_makeemptyraster(2, 2, 0, 0, 1, 1, 0, 0, 32650), '8BUI')", "north-up"),
        ("st_addband(st_makeemptyraster(2, 2, 0, 0, 1, -1, 0.5, 0, 32650), '8BUI')", "north-up"),
        ("st_makeemptyraster(2, 2, 0, 0, 1, -1, 0, 0, 32650)", "no bands"),
    ],
)
def test_what_we_do_not_read_is_refused(postgis: Connection, raster: str, reason: str) -> None:
    row = postgis.execute(f"select st_asbinary({raster})".encode(), binary=True).fetchone()
    assert row is not None
    with pytest.raises(ValueError, match=reason):
        decode_tile(row[0])
