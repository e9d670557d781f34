"""What may be opened at all: regular local GeoTIFFs whose claims can be true, and no other file with them."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.errors import UsageError
from ingest.files import source_file
from ingest.jp2_header import read_jp2_header
from ingest.opening import RasterLimits, check_header, open_raster, reading
from ingest.tiff_header import read_tiff_header
from tests.ingest_files import NORTH_UP, bare_tiff, some_pixels, write_tiff
from tests.sentinel2_files import write_jp2


def read_all(path: Path) -> np.ndarray:
    file = source_file(path)
    with open_raster(file) as dataset, reading(file):
        pixels: np.ndarray = dataset.read()
        return pixels


@pytest.mark.parametrize(
    "name",
    [
        "/vsicurl/http://127.0.0.1:1/x.tif",
        "/vsizip//tmp/x.zip/x.tif",
        "//vsimem/x.tif",
        "http://127.0.0.1:1/x.tif",
        "s3://bucket/x.tif",
        "file:///etc/hostname",
    ],
)
def test_urls_and_virtual_paths_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="only files on this machine"):
        source_file(name)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "empty.tif").touch()
    for name, reason in [
        ("pipe.tif", "not a regular file"),
        ("loop.tif", "cannot be found"),
        ("missing.tif", "cannot be found"),
        (".", "not a regular file"),
        ("empty.tif", "empty"),
    ]:
        with pytest.raises(UsageError, match=reason):
            source_file(tmp_path / name)
    with pytest.raises(UsageError, match="not a regular file"):
        source_file("/dev/zero")


def test_files_outside_the_allowed_folders_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    secret = write_tiff(outside / "secret.tif", some_pixels())
    kept = write_tiff(inside / "kept.tif", some_pixels())
    (inside / "link.tif").symlink_to(secret)
    (inside / "good_link.tif").symlink_to(kept)
    roots = [inside.resolve()]
    for path in (secret, inside / "link.tif", inside / ".." / "outside" / "secret.tif"):
        with pytest.raises(UsageError, match="outside the folders"):
            source_file(path, roots)
    assert source_file(inside / "good_link.tif", roots).path == kept.resolve()
    # A folder whose name merely begins like an allowed one is another folder.
    beside = tmp_path / "in2"
    beside.mkdir()
    with pytest.raises(UsageError, match="outside the folders"):
        source_file(write_tiff(beside / "x.tif", some_pixels()), roots)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
        (b'<VRTDataset rasterXSize="1" rasterYSize="1"></VRTDataset>', "VRT"),
        (b"<GDAL_WMS><Service name='TMS'></Service></GDAL_WMS>", "WMS"),
        (b"<GDALTileIndexDataset></GDALTileIndexDataset>", "tile index"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"not an image", "not a TIFF"),
        (b"II*\0", "ends before"),
        (b"II*\0\xff\xff\xff\x7f", "ends before"),
        (b"MM\0+\0\x08\0\0", "ends before"),
    ],
)
def test_other_files_named_tif_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read_all(path)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ({"width": 66_000, "height": 66_000, "bits": 32}, "times its size"),
        ({"width": 10, "height": 10, "samples": 65_529}, "more than 1024 bands"),
        ({"width": 2_000_000_000, "height": 1}, "along a side"),
        ({"width": 0, "height": 10}, "nothing in it"),
    ],
)
def test_impossible_claims_are_refused_before_gdal_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claim: dict[str, int], reason: str
) -> None:
    monkeypatch.setattr(rasterio, "open", lambda *_args, **_options: pytest.fail("GDAL was asked"))
    with pytest.raises(UsageError, match=reason):
        read_all(bare_tiff(tmp_path / "bomb.tif", **claim))


def test_empty_giants_are_refused_and_a_well_packed_scene_is_not(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse.tif"
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:32645", "transform": NORTH_UP}
    with rasterio.open(sparse, "w", width=40_000, height=40_000, sparse_ok=True, tiled=True, **profile):
        pass
    with pytest.raises(UsageError, match="times its size"):
        read_all(sparse)
    zeros = np.zeros((1, 4000, 4000), np.uint8)
    packed = write_tiff(tmp_path / "packed.tif", zeros, compress="deflate", zlevel=9)
    assert packed.stat().st_size < zeros.nbytes / 200
    assert read_all(packed).shape == (1, 4000, 4000)


def test_huge_tiles_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(1, 64, 64), tiled=True, blockxsize=64, blockysize=64)
    file = source_file(path)
    header = read_tiff_header(file)
    assert header.tile_px == (64, 64)
    with pytest.raises(UsageError, match="smaller tiles"):
        check_header(file, header, RasterLimits(tile_bytes=64 * 64))


@pytest.mark.parametrize("bigtiff", ["YES", "NO"])
@pytest.mark.parametrize("endianness", ["LITTLE", "BIG"])
def test_the_header_is_read_as_gdal_reads_it(tmp_path: Path, bigtiff: str, endianness: str) -> None:
    pixels = some_pixels(3, 30, 70, "int16")
    path = write_tiff(tmp_path / "x.tif", pixels, BIGTIFF=bigtiff, ENDIANNESS=endianness, interleave="band")
    header = read_tiff_header(source_file(path))
    assert (header.samples, header.height_px, header.width_px, header.bits) == (3, 30, 70, 16)
    assert np.array_equal(read_all(path), pixels)


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    whole = write_tiff(tmp_path / "x.tif", some_pixels(4, 200, 200), compress="deflate").read_bytes()
    path = tmp_path / "cut.tif"
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UsageError, match=r"cut\.tif"):
            read_all(path)


def test_side_files_change_nothing(tmp_path: Path) -> None:
    pixels = some_pixels(1, 300, 300, "uint8")
    path = write_tiff(tmp_path / "x.tif", pixels, crs=None, transform=None)
    (tmp_path / "x.tif.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>1,2,0,3,0,-2</GeoTransform>"
        '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    (tmp_path / "x.tfw").write_text("2\n0\n0\n-2\n1\n1\n")
    write_tiff(tmp_path / "x.tif.msk", np.zeros((1, 300, 300), np.uint8))
    file = source_file(path)
    with open_raster(file) as dataset, reading(file):
        assert dataset.crs is None
        assert dataset.transform == rasterio.Affine.identity()
        assert dataset.nodatavals == (None,)
        assert dataset.dataset_mask().all()
        assert dataset.files == [str(path.resolve())]


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    file = source_file(path)
    file.check_unchanged()
    with path.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(UsageError, match="changed while it was read"):
        file.check_unchanged()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_headers_are_read_or_refused_and_nothing_else(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    source = tmp_path / "whole.tif"
    if not source.exists():
        write_tiff(source, some_pixels(2, 9, 11), descriptions=["red", "nir"], nodata=0)
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "damaged.tif"
    path.write_bytes(bytes(data))
    try:
        read_all(path)
    except UsageError as error:
        assert "damaged.tif" in str(error)  # noqa: PT017 - any other exception fails the test


def jp2_bytes(tmp_path: Path, **options: Any) -> bytes:
    """A JP2 of 300 x 400 pixels in tiles of 128 rows."""
    path = write_jp2(tmp_path / "whole.jp2", jp2_pixels(), 10.0, BLOCKXSIZE=128, BLOCKYSIZE=128, **options)
    return path.read_bytes()


def jp2_pixels() -> np.ndarray:
    return some_pixels(1, 300, 400, "uint16", seed=7) * 50


def sized(data: bytes, place: int, fmt: str, value: int) -> bytes:
    """The same with a number of the SIZ marker changed."""
    start = data.index(b"\xff\x4f\xff\x51") + place
    return data[:start] + struct.pack(fmt, value) + data[start + struct.calcsize(fmt) :]


def test_jpeg2000_is_read_as_it_was_written(tmp_path: Path) -> None:
    jp2_bytes(tmp_path, NBITS=15)
    file = source_file(tmp_path / "whole.jp2")
    header = read_jp2_header(file)
    assert (header.width_px, header.height_px, header.samples, header.bits) == (400, 300, 1, 16)
    assert header.tile_px == (400, 128)
    with open_raster(file) as dataset, reading(file):
        assert dataset.block_shapes == [(128, 400)]
        assert dataset.driver == "JP2OpenJPEG"
        assert dataset.crs.to_epsg() == 32645
        assert np.array_equal(dataset.read(), jp2_pixels())
    three = write_jp2(tmp_path / "three.jp2", some_pixels(3, 9, 11, "uint8"), 60.0)
    header = read_jp2_header(source_file(three))
    assert (header.width_px, header.height_px, header.samples, header.bits) == (11, 9, 3, 8)
    assert np.array_equal(read_all(three), some_pixels(3, 9, 11, "uint8"))


@pytest.mark.parametrize(
    ("place", "fmt", "value", "reason"),
    [
        (8, ">II", (200_000, 200_000), "times its size|tiles"),
        (8, ">I", 2_000_000, "along a side"),
        (8, ">I", 0, "nothing in it"),
        (24, ">I", 0, "tiles of 0 x 128"),
        (24, ">II", (1, 1), "120000 tiles"),
        (40, ">H", 16_000, "not all described|different pixel sizes|more than 1024 bands"),
        (43, ">B", 2, "different pixel sizes"),
        (40, ">H", 0, "nothing in it"),
    ],
)
def test_impossible_claims_of_jpeg2000_are_refused_before_gdal_sees_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: int,
    fmt: str,
    value: int | tuple[int, int],
    reason: str,
) -> None:
    data = jp2_bytes(tmp_path)
    for index, number in enumerate(value if isinstance(value, tuple) else (value,)):
        data = sized(data, place + index * struct.calcsize(">I"), f">{fmt[1]}", number)
    monkeypatch.setattr(rasterio, "open", lambda *_args, **_options: pytest.fail("GDAL was asked"))
    path = tmp_path / "bomb.jp2"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"bomb\.jp2: .*({reason})"):
        read_all(path)


def test_a_jpeg2000_giant_in_few_bytes_is_refused(tmp_path: Path) -> None:
    data = jp2_bytes(tmp_path)
    for place, number in ((8, 40_000), (12, 40_000), (24, 8_000), (28, 8_000)):
        data = sized(data, place, ">I", number)
    path = tmp_path / "bomb.jp2"
    path.write_bytes(data)
    with pytest.raises(UsageError, match="times its size"):
        read_all(path)
    for place, number in ((24, 40_000), (28, 40_000)):
        data = sized(data, place, ">I", number)
    path.write_bytes(data)
    with pytest.raises(UsageError, match="smaller tiles"):
        read_all(path)


@pytest.mark.parametrize("is_length_known", [True, False])
def test_truncated_jpeg2000_is_refused(tmp_path: Path, is_length_known: bool) -> None:
    whole = jp2_bytes(tmp_path)
    path = tmp_path / "cut.jp2"
    box = whole.index(b"jp2c") - 4
    for share in (0.0, 0.001, 0.1, 0.5, 0.95, 0.9999):
        cut = whole[: max(12, int(len(whole) * share))]
        if not is_length_known and len(cut) > box + 8:
            cut = cut[:box] + bytes(4) + cut[box + 4 :]
        path.write_bytes(cut)
        with pytest.raises(UsageError, match=r"cut\.jp2: "):
            read_all(path)
    # As an interrupted download leaves it that had reserved the whole size.
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    with pytest.raises(UsageError, match="has no end"):
        read_all(path)


def test_a_lost_tile_of_jpeg2000_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    whole = jp2_bytes(tmp_path)
    last_tile = whole.rindex(b"\xff\x90\x00\x0a")
    path = tmp_path / "lost.jp2"
    path.write_bytes(whole[: last_tile + 6] + b"\x00\xff\xff\xff" + whole[last_tile + 10 :])
    with pytest.raises(UsageError, match=r"lost\.jp2: cannot be read"):
        read_all(path)


def test_a_bare_codestream_and_a_renamed_file_are_refused(tmp_path: Path) -> None:
    whole = jp2_bytes(tmp_path)
    path = tmp_path / "bare.j2k"
    path.write_bytes(whole[whole.index(b"\xff\x4f\xff\x51") :])
    with pytest.raises(UsageError, match="not a TIFF"):
        read_all(path)


def test_side_files_change_nothing_beside_jpeg2000(tmp_path: Path) -> None:
    jp2_bytes(tmp_path)
    (tmp_path / "whole.jp2.aux.xml").write_text(
        "<PAMDataset><SRS>EPSG:32633</SRS><GeoTransform>1,2,0,3,0,-2</GeoTransform></PAMDataset>"
    )
    (tmp_path / "whole.j2w").write_text("2\n0\n0\n-2\n1\n1\n")
    file = source_file(tmp_path / "whole.jp2")
    with open_raster(file) as dataset, reading(file):
        assert dataset.crs.to_epsg() == 32645
        assert dataset.transform.a == 10.0
        assert dataset.files == [str(file.path)]


# rasterio 1.4 prints messages of GDAL that are no UTF-8, as from a damaged box, as errors of its own logging.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_jpeg2000_headers_are_read_or_refused_and_nothing_else(
    tmp_path: Path, changes: list[tuple[int, int]]
) -> None:
    source = tmp_path / "small.jp2"
    if not source.exists():
        write_jp2(source, some_pixels(1, 9, 11), 10.0)
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "damaged.jp2"
    path.write_bytes(bytes(data))
    try:
        read_all(path)
    except UsageError as error:
        assert "damaged.jp2" in str(error)  # noqa: PT017 - any other exception fails the test
