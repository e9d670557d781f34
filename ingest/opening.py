"""Open a GeoTIFF or a JPEG 2000 image that somebody brought, and nothing else.

What is checked before GDAL sees the file: that it is a regular local file (``ingest.files``), that it
begins as a TIFF or a JPEG 2000 image, and that what it claims can be true for its size. GDAL is then
given one driver and an environment in which no other file and no network is touched: side files
(``.aux.xml``, ``.ovr``, ``.msk``, world files) can change what is read, so they are not looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import rasterio
from rasterio._err import CPLE_BaseError  # GDAL's errors that rasterio passes on as they are
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.jp2_header import SIGNATURE, is_jp2, read_jp2_header
from ingest.tiff_header import TiffHeader, read_tiff_header

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class RasterLimits:
    """What a file may claim before it counts as an attack or an accident.

    Attributes:
        decoded_bytes: decoded size of the whole raster.
        bands: bands; the widest instrument has about 250.
        side_px: width or height.
        tile_bytes: decoded size of one tile of the file, which is decoded as a whole.
        small_bytes: a raster that decodes to no more than this may be packed as tightly as it likes.
        ratio: decoded size over file size, above small_bytes. Scenes pack 2 to 20 times; only emptiness packs
            hundreds of times.

    """

    decoded_bytes: int = 256 * GIB
    bands: int = 1024
    side_px: int = 500_000
    tile_bytes: int = 512 * MIB
    small_bytes: int = 512 * MIB
    ratio: int = 200


ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": "{none}",
    "GDAL_HTTP_PROXY": "127.0.0.1:9",
    "PROJ_NETWORK": "OFF",
    "GTIFF_REPORT_COMPD_CS": "NO",
    "GDAL_CACHEMAX": 256 * MIB,
    "GDAL_NUM_THREADS": "1",
}
"""GDAL's settings while a file is read. The proxy leads nowhere, should anything try the network. With more
than one thread the JPEG 2000 driver of GDAL 3.9 loses the failure of a tile and returns what it has."""


@contextmanager
def reading(file: SourceFile) -> Iterator[None]:
    """Turn what GDAL says about a damaged file into a message for the user.

    Raises:
        UsageError: GDAL failed to read.

    """
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        reason: BaseException = error
        while reason.__cause__ is not None:
            reason = reason.__cause__
        raise UsageError(
            f"{file.name}: cannot be read; it is damaged, incomplete or of an unsupported kind: {reason}"
        ) from error


def check_header(file: SourceFile, header: TiffHeader, limits: RasterLimits) -> None:
    """Refuse a file whose claims are impossible or would fill the memory.

    Raises:
        UsageError: it names what was claimed and the limit.

    """
    claim = f"{header.width_px} x {header.height_px} pixels in {header.samples} band(s) of {header.bits} bits"
    begin = f"{file.name}: claims {claim}"
    if header.width_px < 1 or header.height_px < 1 or header.samples < 1:
        raise UsageError(f"{begin}: there is nothing in it")
    if header.samples > limits.bands:
        raise UsageError(f"{begin}: more than {limits.bands} bands are not read")
    if max(header.width_px, header.height_px) > limits.side_px:
        raise UsageError(f"{begin}: more than {limits.side_px} pixels along a side are not read; cut it")
    if header.decoded_bytes > limits.decoded_bytes:
        raise UsageError(f"{begin}: more than {limits.decoded_bytes // GIB} GiB decoded is not read; cut it")
    if header.tile_bytes > limits.tile_bytes:
        raise UsageError(f"{begin} in tiles of {header.tile_bytes // MIB} MiB: write it with smaller tiles")
    if header.decoded_bytes > max(limits.small_bytes, limits.ratio * file.size_bytes):
        raise UsageError(
            f"{begin}: {header.decoded_bytes // MIB} MiB decoded from {file.size_bytes} bytes on disk, more "
            f"than {limits.ratio} times its size: it is truncated, empty or made to fill the memory"
        )


@contextmanager
def open_raster(file: SourceFile, limits: RasterLimits | None = None) -> Iterator[Any]:
    """Open a GeoTIFF, or a JPEG 2000 image as Sentinel-2 has them, for reading.

    Yields:
        rasterio's DatasetReader; reads inside the block have the guarded environment. Errors of reading
        become messages only inside ``reading``.

    Raises:
        UsageError: it is neither, makes impossible claims, or cannot be opened.

    """
    is_jpeg2000 = is_jp2(file.head(len(SIGNATURE)))
    header = read_jp2_header(file) if is_jpeg2000 else read_tiff_header(file)
    check_header(file, header, limits or RasterLimits())
    with rasterio.Env(**ENVIRONMENT):
        with reading(file), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            dataset = rasterio.open(file.path, driver="JP2OpenJPEG" if is_jpeg2000 else "GTiff")
        with dataset:
            yield dataset
