"""Folders that others write products into: each once, when it is complete, and anew when it changes."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest

from db.errors import UsageError
from tests.source_files import PLAIN, described_tiff, plain_tiff, sentinel_item
from tests.source_runs import Sources
from tests.unit.test_products_cresda import write_part


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def package(folder: Path, name: str, seed: int = 1) -> Path:
    """A folder with a STAC item and its images: one product."""
    item = sentinel_item(folder, name, seed)
    (folder / name / "item.json").write_text(json.dumps(item))
    return folder / name


def test_packages_archives_and_described_images_are_found_at_any_depth(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    package(folder, "p1", 1)
    package(folder / "deep" / "er", "p2", 2)
    described_tiff(folder / "deep" / "d1.tif", 3)
    described_tiff(folder / "deep" / "d2.tif", 4)
    made = package(tmp_path / "elsewhere", "zipped", 5)
    with zipfile.ZipFile(folder / "z1.zip", "w") as archive:
        for path in made.iterdir():
            archive.write(path, f"zipped/{path.name}")
    plain_tiff(folder / "nobody_knows_20210619.tif", 6)
    (folder / "readme.txt").write_text("hello")
    (folder / "coming.zip.part").write_bytes(b"PK")
    (folder / ".hidden").mkdir()
    described_tiff(folder / ".hidden" / "h.tif", 7)
    source = sources.add("folder", folder)
    outcome = sources.scan(source)
    assert (outcome.new, outcome.unsettled, outcome.refused) == (5, 0, [])
    assert list(sources.states()) == ["deep/d1.toml", "deep/d2.toml", "deep/er/p2", "p1", "z1.zip"]
    done = sources.ingest_all(source)
    assert sorted(str(each.product) for each in done) == ["d1", "d2", "p1", "p2", "zipped"]
    assert sources.scan(source).new == 0
    assert sources.cached() == []


def test_what_is_still_being_written_is_left_for_the_next_time(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    path = described_tiff(folder / "d1.tif")
    source = sources.add("folder", folder, settle_s=600)
    # A copy that keeps times, as of rsync, does not make a file look complete.
    os.utime(path, (1, 1))
    os.utime(path.with_suffix(".toml"), (1, 1))
    outcome = sources.scan(source)
    assert (outcome.new, outcome.unsettled) == (0, 1)
    assert sources.states() == {}
    sources.execute("update lode.ingest_source set settle_s = 0")
    assert sources.scan(source).new == 1


def test_changed_content_is_a_new_version_and_the_same_again_is_none(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    path = described_tiff(folder / "d1.tif", 1)
    source = sources.add("folder", folder)

    def look() -> list[tuple[str, int]]:
        sources.scan(source)
        sources.ingest_all(source)
        return sources.scenes()

    assert look() == [("d1", 1)]
    os.utime(path, (1_000_000_000,) * 2)  # touched, not changed
    assert look() == [("d1", 1)]
    described_tiff(path, 2)
    assert look() == [("d1", 1), ("d1", 2)]
    assert look() == [("d1", 1), ("d1", 2)]
    assert sources.value("select count(*) from lode.ingest_item") == 3


def test_plain_images_are_what_the_source_says_and_of_the_day_in_their_name(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    plain_tiff(folder / "GF2_E81.9_20210619_L1A.tif", 1)
    plain_tiff(folder / "GF2_nobody_knows_when.tif", 2)
    plain_tiff(folder / "GF2_20190619.tif", 3)
    plain_tiff(folder / "GF2_20210620_far.tif", 4, east_m=60_000)
    source = sources.add("folder", folder, options=PLAIN, from_day="2020-01-01")
    assert sources.scan(source).new == 4
    sources.ingest_all(source)
    assert sources.states() == {
        "GF2_20190619.tif": "skipped",
        "GF2_20210620_far.tif": "skipped",
        "GF2_E81.9_20210619_L1A.tif": "ingested",
        "GF2_nobody_knows_when.tif": "failed",
    }
    assert str(sources.value("select acquired_on from lode.scene")) == "2021-06-19"
    # What is known now decides, without reading it again.
    assert sources.scan(source).new == 0
    sources.execute("update lode.ingest_source set from_day = '2019-01-01'")
    assert sources.scan(source).new == 1
    assert sources.states()["GF2_20190619.tif"] == "found"


def test_a_broken_package_fails_with_its_reason_and_the_rest_goes_on(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "good.tif", 1)
    described_tiff(folder / "bad.tif", 2)
    (folder / "bad.tif").write_bytes(b"<html>not found</html>")
    (folder / "cut.zip").write_bytes(b"PK\x03\x04" + b"x" * 100)
    outside = tmp_path / "private"
    described_tiff(outside / "own.tif", 3)
    (folder / "linked").symlink_to(outside)
    source = sources.add("folder", folder)
    sources.scan(source)
    sources.ingest_all(source)
    errors = {row["item_key"]: row["error"] for row in sources.items()}
    assert "a web page" in errors["bad.toml"]
    assert "truncated, damaged" in errors["cut.zip"]
    assert errors["good.toml"] is None
    assert sources.states() == {"bad.toml": "failed", "cut.zip": "failed", "good.toml": "ingested"}


def test_parts_without_a_file_of_the_whole_come_in_and_a_damaged_one_fails_alone(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "good.tif")
    for number in (1, 2):
        for part, bands, count in (("MSS1", "1,2,3,4", 4), ("PAN1", "5", 1)):
            write_part(folder, f"GF2_L1A{number}-{part}", "GF2", "PMS1", bands, count)
    (folder / "GF2_L1A2-PAN1.xml").write_bytes(b"")
    source = sources.add("folder", folder, to_day="2021-12-31")
    assert sources.scan(source).new == 3
    sources.ingest_all(source)
    rows = {row["item_key"]: row for row in sources.items()}
    assert sources.states() == {"GF2_L1A1.xml": "skipped", "GF2_L1A2.xml": "failed", "good.toml": "ingested"}
    assert rows["GF2_L1A1.xml"]["href"] == "GF2_L1A1-MSS1.xml"
    assert "GF2_L1A2-PAN1.xml: the XML is empty" in rows["GF2_L1A2.xml"]["error"]
    assert sources.scan(source).new == 0


def test_a_folder_that_is_gone_says_so(sources: Sources, tmp_path: Path) -> None:
    source = sources.add("folder", tmp_path / "nowhere")
    with pytest.raises(UsageError, match="nowhere: cannot be found"):
        sources.scan(source)
    assert "cannot be found" in sources.value("select last_error from lode.ingest_source")
    assert sources.value("select last_scan_at from lode.ingest_source") is not None
