"""What a folder lists: which files stand for a product, which belong to one, and what is left for later."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from db.errors import UsageError
from db.ingest_items import Found
from ingest.products.gathering import gather
from ingest.products.recognition import read_product
from ingest.sources.folder import folder_items
from ingest.sources.listing import Refused, Unsettled
from tests.ingest_files import write_tiff
from tests.source_files import described_tiff, plain_tiff, sentinel_item
from tests.source_runs import quiet
from tests.unit.test_products_cresda import PACKAGES, write_part

GF2 = "GF2_PMS1_E87_N43_20220714_L1A000000000{}"


def write_package(folder: Path, key: str, stem: str) -> None:
    satellite, sensor, parts = PACKAGES[key]
    for ending, bands, _role, _key, _camera, names in parts:
        write_part(folder, stem + ending, satellite, sensor, bands, len(names))


def listed(
    folder: Path, *, settle_s: int = 0, takes_plain: bool = False, roots: Sequence[Path] = ()
) -> list[Found | Refused | Unsettled]:
    return list(folder_items(str(folder), roots, settle_s=settle_s, takes_plain=takes_plain, beat=quiet))


def keys(folder: Path, *, takes_plain: bool = False) -> list[str]:
    found = listed(folder, takes_plain=takes_plain)
    assert all(isinstance(each, Found) for each in found), found
    return sorted(each.key for each in found if isinstance(each, Found))


def read(folder: Path, found: Found | Refused | Unsettled) -> str:
    assert isinstance(found, Found)
    return read_product(gather(str(folder / found.href), (folder,), folder)).name


@pytest.mark.parametrize("key", ["GF1 PMS2", "GF2 PMS1", "GF7", "ZY3-02", "GF1 WFV4"])
def test_loose_products_of_part_files_are_found_and_read(tmp_path: Path, key: str) -> None:
    stems = [f"{key.replace(' ', '_')}_E87_20220714_L1A{number}" for number in (1, 10)]
    for stem in stems:
        write_package(tmp_path, key, stem)
    (tmp_path / f"{stems[0]}{PACKAGES[key][2][0][0]}.tiff.aux.xml").write_text("<PAMDataset/>")
    found = listed(tmp_path)
    assert [each.key for each in found if isinstance(each, Found)] == [f"{stem}.xml" for stem in stems]
    assert [read(tmp_path, each) for each in found] == stems


def test_a_damaged_xml_fails_alone_and_with_its_reason(tmp_path: Path) -> None:
    for number in (1, 2):
        write_package(tmp_path, "GF2 PMS1", GF2.format(number))
    write_package(tmp_path / "own", "GF2 PMS1", GF2.format(3))
    for path in (tmp_path / f"{GF2.format(2)}-PAN1.xml", tmp_path / "own" / f"{GF2.format(3)}-MSS1.xml"):
        path.write_bytes(path.read_bytes()[:600])
    good, bad, own = listed(tmp_path)
    assert read(tmp_path, good) == GF2.format(1)
    for each in (bad, own):
        with pytest.raises(UsageError, match=r"(PAN1|MSS1)\.xml: is damaged or no XML"):
            read(tmp_path, each)


def test_what_a_reader_cannot_read_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "d1.tif")
    # A file that is there and fails when it is read.
    (folder / "memory.xml").symlink_to("/proc/self/mem")
    refused, *found = listed(folder, roots=(tmp_path.resolve(), Path("/proc")))
    assert isinstance(refused, Refused)
    assert "cannot be read" in refused.reason
    assert [each.key for each in found if isinstance(each, Found)] == ["d1.toml"]


def test_archives_and_plain_images_beside_one_product_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "june"
    write_package(folder, "GF1 WFV4", "GF1_WFV4_20220714_L1A1")
    assert keys(tmp_path) == ["june"]
    plain_tiff(folder / "plain_20230516.tif")
    assert keys(tmp_path) == ["june"]
    assert keys(tmp_path, takes_plain=True) == ["june/GF1_WFV4_20220714_L1A1.xml", "june/plain_20230516.tif"]
    (folder / "more").mkdir()
    (folder / "more" / "other.tar.gz").write_bytes(b"\x1f\x8b" + b"x" * 100)
    assert keys(tmp_path) == ["june/GF1_WFV4_20220714_L1A1.xml", "june/more/other.tar.gz"]


def test_images_of_a_product_are_no_plain_ones(tmp_path: Path) -> None:
    """Those that an item names, and tiles of which one stands for all."""
    sentinel_item(tmp_path, "p1")
    tiles = tmp_path / "enmap"
    tiles.mkdir()
    for number in (1, 2):
        write_tiff(tiles / f"ENMAP_L2A_tile{number}.tif", np.ones((202, 2, 2), np.int16))
    assert keys(tmp_path, takes_plain=True) == ["enmap", "p1"]
    # Loose, too.
    sentinel_item(tmp_path / "two", ".")
    described_tiff(tmp_path / "two" / "d1.tif")
    assert keys(tmp_path / "two", takes_plain=True) == ["d1.toml", "item.json"]


def test_a_name_that_goes_on_with_a_letter_or_digit_is_another(tmp_path: Path) -> None:
    described_tiff(tmp_path / "mine1.tif")
    plain_tiff(tmp_path / "mine10_20230516.tif")
    plain_tiff(tmp_path / "mine1_mask.tif")
    assert keys(tmp_path, takes_plain=True) == ["mine1.toml", "mine10_20230516.tif"]


def test_a_time_of_change_in_the_future_does_not_hold_a_file_back(tmp_path: Path) -> None:
    path = described_tiff(tmp_path / "d1.tif")
    os.utime(path, (time.time() + 86400,) * 2)
    assert keys(tmp_path) == ["d1.toml"]
    assert listed(tmp_path, settle_s=600) == [Unsettled("d1.toml")]
