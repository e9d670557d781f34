"""Static STAC catalogues, on disk and served over HTTP: found, fetched, ingested, each scene once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.source_files import PLAIN, plain_item, sentinel_item, write_catalogue, write_item
from tests.source_runs import Sources
from tests.stac_server import served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def test_a_catalogue_on_disk_is_ingested_where_it_lies(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "near", 1)
    sentinel_item(folder, "far", 2, east_m=50_000)
    catalogue = write_catalogue(folder, ["near", "far"])
    source = sources.add("stac_catalogue", catalogue)
    outcome = sources.scan(source)
    assert (outcome.listed, outcome.new, outcome.skipped, outcome.refused) == (2, 1, 1, [])
    assert [args.keys() for args in sources.jobs("ingest_item")] == [{"ingest_item_id"}]
    (done,) = sources.ingest_all(source)
    assert (done.status, done.product, done.version, done.is_new, done.run_id) == (
        "ingested", "near", 1, True, None,
    )  # fmt: skip
    assert sources.states() == {"sentinel-2-l2a/far": "skipped", "sentinel-2-l2a/near": "ingested"}
    assert sources.cached() == []
    far, near = sources.items()
    assert "meets neither the area nor a mine" in far["error"]
    sizes = sum(path.stat().st_size for path in (folder / "near").glob("*.tif"))
    assert near["fetched_bytes"] == sizes
    assert near["sha256"] == sources.value("select sha256 from lode.scene")


def test_a_served_catalogue_is_fetched_once(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    for name, seed in (("one", 1), ("two", 2)):
        sentinel_item(folder, name, seed)
    write_catalogue(folder, ["one", "two"])
    with served(folder) as server:
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        assert sources.scan(source).new == 2
        assert [done.status for done in sources.ingest_all(source)] == ["ingested", "ingested"]
        files = len([each for each in server.asked if each.path.endswith(".tif")])
        assert files == 8
        again = sources.scan(source)
        assert (again.listed, again.new) == (2, 0)
        assert sources.ingest_all(source) == []
        assert len([each for each in server.asked if each.path.endswith(".tif")]) == files
    assert sources.scenes() == [("one", 1), ("two", 1)]
    assert sources.cached() == []


def test_the_same_item_of_two_catalogues_is_one_scene(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    write_catalogue(folder, ["one"])
    with served(folder) as server:
        first = sources.add("stac_catalogue", server.url("catalog.json"), name="first")
        second = sources.add("stac_catalogue", folder / "catalog.json", name="second")
        for source in (first, second):
            sources.scan(source)
        done = [*sources.ingest_all(first), *sources.ingest_all(second)]
    assert [each.is_new for each in done] == [True, False]
    assert sources.scenes() == [("one", 1)]
    assert len({item["scene_id"] for item in sources.items()}) == 1


def test_changed_content_is_a_new_version_once(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one", 1, updated="2023-06-01T00:00:00Z")
    catalogue = write_catalogue(folder, ["one"])
    source = sources.add("stac_catalogue", catalogue)
    for seed, updated, scenes in (
        (1, "2023-06-01T00:00:00Z", [("one", 1)]),
        (2, "2023-07-01T00:00:00Z", [("one", 1), ("one", 2)]),
        (2, "2023-07-01T00:00:00Z", [("one", 1), ("one", 2)]),
        (2, "2023-08-01T00:00:00Z", [("one", 1), ("one", 2)]),
    ):
        sentinel_item(folder, "one", seed, updated=updated)
        sources.scan(source)
        sources.ingest_all(source)
        assert sources.scenes() == scenes
    assert [item["status"] for item in sources.items()] == ["ingested"] * 3


def test_what_was_not_wanted_is_found_when_the_source_changes(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "cloudy", 1, cloud=60.0)
    source = sources.add("stac_catalogue", write_catalogue(folder, ["cloudy"]), cloud_limit=0.2)
    assert sources.scan(source).skipped == 1
    assert "60.0% clouded" in sources.items()[0]["error"]
    again = sources.scan(source)
    assert (again.skipped, again.new) == (0, 0)
    sources.execute("update lode.ingest_source set cloud_limit = 0.7")
    assert sources.scan(source).new == 1
    assert [done.status for done in sources.ingest_all(source)] == ["ingested"]


def test_a_plain_geotiff_of_an_item_is_what_the_source_says(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    plain_item(folder, "p1")
    source = sources.add("stac_catalogue", write_catalogue(folder, ["p1"]), options=PLAIN)
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert (done.product, done.status) == ("p1", "ingested")
    assert str(sources.value("select acquired_on from lode.scene")) == "2021-06-19"


def test_days_and_collections_decide(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "early", 1, day="2022-12-31")
    sentinel_item(folder, "right", 2, day="2023-01-01")
    sentinel_item(folder, "late", 3, day="2023-02-01")
    sentinel_item(folder, "other", 4, day="2023-01-01", collection="else")
    source = sources.add(
        "stac_catalogue",
        write_catalogue(folder, ["early", "right", "late", "other"]),
        from_day="2023-01-01",
        to_day="2023-01-31",
        collections=["sentinel-2-l2a"],
    )
    outcome = sources.scan(source)
    assert (outcome.listed, outcome.new, outcome.skipped) == (3, 1, 2)
    assert [key for key, state in sources.states().items() if state == "found"] == ["sentinel-2-l2a/right"]


def test_children_in_a_circle_and_twice_are_walked_once(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    catalogue = write_catalogue(folder, ["one", "one"])
    collection = json.loads((folder / "collection.json").read_text())
    collection["links"] += [
        {"rel": "child", "href": "./catalog.json"},
        {"rel": "child", "href": "./gone.json"},
    ]
    (folder / "collection.json").write_text(json.dumps(collection))
    source = sources.add("stac_catalogue", catalogue)
    outcome = sources.scan(source)
    assert (outcome.listed, outcome.new) == (1, 1)
    assert len(outcome.refused) == 1
    assert "gone.json" in sources.value("select last_error from lode.ingest_source")


def test_an_item_of_another_content_under_the_same_address(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    item = sentinel_item(folder, "one")
    source = sources.add("stac_catalogue", write_catalogue(folder, ["one"]))
    sources.scan(source)
    write_item(folder, {**item, "id": "one", "collection": "swapped"})
    assert sources.ingest_all(source) == []
    (row,) = sources.items()
    assert row["status"] == "failed"
    assert "another item lies where it was found: swapped/one" in row["error"]
    assert sources.scenes() == []


def test_files_of_two_versions_of_an_item_never_mix(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one", 1, updated="2023-06-01T00:00:00Z", with_checksum=False)
    write_catalogue(folder, ["one"])
    with served(folder) as server:
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        sources.scan(source)
        server.errors["/one/B08.tif"] = 6
        assert sources.ingest_all(source) == []  # three bands of the first version lie here
        sentinel_item(folder, "one", 2, updated="2023-07-01T00:00:00Z", with_checksum=False)
        (done,) = sources.ingest_all(source)
        assert done.is_new
        assert len(server.of("one/B02.tif")) == 2
        # The next look finds what is there already.
        sources.scan(source)
        assert [each.is_new for each in sources.ingest_all(source)] == [False]
    assert sources.scenes() == [("one", 1)]
