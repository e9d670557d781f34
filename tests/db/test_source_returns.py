"""Content that is there again after other content of the same scene took its place: it counts again, once."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from db.connection import connect
from ingest.sources.scanning import scan
from tests.source_files import described_tiff, sentinel_item, write_catalogue
from tests.source_published import AFTER, BEFORE, publish, published
from tests.source_runs import Sources, quiet


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def put(kept: Path, inbox: Path) -> None:
    """Put files where they lay, with their times."""
    for path in kept.iterdir():
        shutil.copy2(path, inbox / path.name)


def look(sources: Sources, source: int) -> list[tuple[int, str, bool]]:
    """Look through a source and ingest: version, digest and whether it counts, of each scene."""
    sources.scan(source)
    sources.ingest_all(source)
    with connect(sources.url) as conn:
        rows = conn.execute(
            "select version, sha256, superseded_by is null from lode.scene order by version"
        ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]


def times_back(sources: Sources, days: int) -> None:
    """Let what was ingested have been so long ago."""
    sources.execute(
        "update lode.ingest_item set ingested_at = ingested_at - make_interval(days => %s)", (days,)
    )


def test_a_file_that_was_put_back_counts_again_whenever_it_is(sources: Sources, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    path = described_tiff(inbox / "d1.tif", 1)
    source = sources.add("folder", inbox)
    ((_, right, _),) = look(sources, source)
    shutil.copytree(inbox, tmp_path / "right")
    described_tiff(path, 2)
    wrong = look(sources, source)[-1][1]
    shutil.copytree(inbox, tmp_path / "wrong")
    put(tmp_path / "right", inbox)
    assert look(sources, source) == [(1, right, False), (2, wrong, False), (3, right, True)]
    for _ in range(3):
        assert sources.scan(source).new == 0
    put(tmp_path / "wrong", inbox)
    assert look(sources, source)[3:] == [(4, wrong, True)]
    put(tmp_path / "right", inbox)
    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(sources.scan, source) for _ in range(3)]
    assert sum(each.result().new for each in looks) == 1
    assert look(sources, source)[4:] == [(5, right, True)]
    assert sources.scan(source).new == 0
    assert [row["status"] for row in sources.items()] == ["ingested"] * 2


def test_what_came_of_it_before_stays_and_it_is_interpreted_anew(sources: Sources, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    source = published(sources, inbox)
    sources.execute("update lode.ingest_item set status = 'reported', report = '2024-01-01-1'")
    shutil.copytree(inbox, tmp_path / "right")
    described_tiff(inbox / "early.tif", 2)
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert done.run_id is not None
    publish(sources.url, done.run_id, AFTER)
    put(tmp_path / "right", inbox)
    jobs = len(sources.jobs("ingest_item"))
    assert sources.scan(source).new == 1
    assert len(sources.jobs("ingest_item")) == jobs  # the first job of this item waits still
    (item,) = (row for row in sources.items() if row["status"] == "found")
    assert (item["run_id"], item["report"], item["attempt"], item["ingested_at"]) == (None, None, 0, None)
    assert sources.scan(source).new == 0
    (done,) = sources.ingest_all(source)
    assert (done.version, done.is_new) == (3, True)
    assert done.run_id is not None
    publish(sources.url, done.run_id, BEFORE)
    assert sources.value("select count(*) from lode.run where status = 'published'") == 3
    assert sources.scan(source).new == 0


def test_what_cannot_be_ingested_again_stays_failed(sources: Sources, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    path = described_tiff(inbox / "d1.tif", 1)
    source = sources.add("folder", inbox)
    look(sources, source)
    shutil.copytree(inbox, tmp_path / "right")
    described_tiff(path, 2)
    look(sources, source)
    put(tmp_path / "right", inbox)
    assert sources.scan(source).new == 1
    sources.execute("update lode.ingest_item set status = 'failed' where status = 'found'")
    for _ in range(2):
        assert sources.scan(source).new == 0


def test_a_job_is_made_and_what_is_not_wanted_any_more_is_left(sources: Sources, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    path = described_tiff(inbox / "d1.tif", 1)
    source = sources.add("folder", inbox)
    sources.scan(source)
    sources.ingest_all(source)
    shutil.copytree(inbox, tmp_path / "right")
    described_tiff(path, 2)
    look(sources, source)
    sources.execute("delete from lode_queue.procrastinate_jobs")
    put(tmp_path / "right", inbox)
    sources.execute("update lode.ingest_source set area = 'srid=4326;multipolygon(((0 0,1 0,1 1,0 0)))'")
    assert sources.scan(source).new == 0
    sources.execute("update lode.ingest_source set area = null")
    assert scan(sources.url, source, quiet, settings=sources.settings, is_by_hand=True).new == 1
    assert sources.jobs("ingest_item") == []
    assert sources.scan(source).new == 0
    assert len(sources.jobs("ingest_item")) == 1  # as of any item that lost its job


def test_an_item_of_a_catalogue_that_is_back_counts_again_after_a_day(
    sources: Sources, tmp_path: Path
) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one", 1)
    source = sources.add("stac_catalogue", write_catalogue(folder, ["one"]))
    ((_, right, _),) = look(sources, source)
    sentinel_item(folder, "one", 2)
    assert len(look(sources, source)) == 2
    sentinel_item(folder, "one", 1)
    # Servers that are not of one mind show both by turns.
    assert len(look(sources, source)) == 2
    times_back(sources, 2)
    assert look(sources, source)[2:] == [(3, right, True)]
    sentinel_item(folder, "one", 2)
    assert len(look(sources, source)) == 3


def test_two_contents_that_are_listed_at_once_do_not_take_turns(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    for number in (1, 2):
        sentinel_item(folder / str(number), "one", number)
    source = sources.add("stac_catalogue", write_catalogue(folder, ["1/one", "2/one"]))
    assert len(look(sources, source)) == 2
    for _ in range(2):
        times_back(sources, 2)
        assert sources.scan(source).new == 0
        assert len(look(sources, source)) == 2


def test_an_address_that_changed_is_asked_at_the_next_attempt(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    sentinel_item(folder, "one", 1)
    (folder / "one" / "B04.tif").rename(tmp_path / "B04.tif")
    write_catalogue(folder, ["one"])
    source = sources.add("stac_catalogue", folder / "catalog.json")
    sources.scan(source)
    assert sources.ingest_all(source) == []
    moved = folder.rename(tmp_path / "new")
    (tmp_path / "B04.tif").rename(moved / "one" / "B04.tif")
    sources.execute("update lode.ingest_source set location = %s", (str(moved / "catalog.json"),))
    assert (sources.scan(source).new, sources.states()) == (0, {"sentinel-2-l2a/one": "failed"})
    assert sources.items()[0]["href"] == str(moved / "one" / "item.json")
    sources.execute("update lode.ingest_item set status = 'found', attempt = 0")
    assert [done.status for done in sources.ingest_all(source)] == ["ingested"]
