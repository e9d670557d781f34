"""Ingest that is released, raced, superseded or lost: nothing half stored, each scene once."""

from __future__ import annotations

import errno
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from db.connection import connect
from db.errors import InterruptionError, SupersededError, UsageError
from db.ingest_items import claim_item, enqueue_lost
from db.ingest_retries import retry_failed
from db.local_disk import LocalDiskError
from ingest.sources.ingesting import ItemOutcome, ingest_item
from ingest.sources.scanning import scan
from tests.db.ingested_scenes import leftovers
from tests.source_files import described_tiff, sentinel_item, write_catalogue
from tests.source_published import published
from tests.source_runs import Sources, item_id_of, quiet
from tests.stac_server import served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def test_a_release_gives_the_attempt_back_and_keeps_what_came(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    write_catalogue(folder, ["one"])

    def stop(stage: str, done: int, _total: int) -> None:
        if stage == "storing":
            raise InterruptionError(is_cancelled=False)

    with served(folder) as server, connect(sources.url) as conn:
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        sources.scan(source)
        item_id = item_id_of(conn, "sentinel-2-l2a/one")
        conn.commit()
        for _ in range(4):
            with pytest.raises(InterruptionError):
                ingest_item(sources.url, item_id, stop, settings=sources.settings)
            assert sources.items()[0]["status"] == "found"
            assert sources.items()[0]["attempt"] == 0
            assert leftovers(conn)[0] == 0
            conn.commit()
        assert sources.ingest(item_id).is_new
        assert len(server.of("one/B02.tif")) == 1


def test_a_full_disk_of_this_machine_costs_the_item_no_attempt(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described_tiff(tmp_path / "inbox" / "one.tif", 1)
    source = sources.add("folder", str(tmp_path / "inbox"))
    sources.scan(source)
    with connect(sources.url) as conn:
        item_id = item_id_of(conn, "one.toml")

    def no_room(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    with monkeypatch.context() as patch:
        patch.setattr("ingest.sources.ingesting._attempt", no_room)
        for _ in range(4):
            with pytest.raises(OSError, match="No space left"):
                ingest_item(sources.url, item_id, quiet, settings=sources.settings)
            assert [(row["status"], row["attempt"]) for row in sources.items()] == [("found", 0)]
    assert sources.ingest(item_id).is_new


@pytest.mark.parametrize("place", ["pathlib.Path.mkdir", "tempfile.mkdtemp", "shutil.disk_usage"])
def test_wherever_room_lacks_the_item_is_given_back(
    place: str, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    write_catalogue(folder, ["one"])
    usage = SimpleNamespace(free=99, total=1 << 60)

    def no_room(*_arguments: object, **_named: object) -> SimpleNamespace:
        if place == "shutil.disk_usage":
            return usage
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    with served(folder) as server, connect(sources.url) as conn:
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        sources.scan(source)
        item_id = item_id_of(conn, "sentinel-2-l2a/one")
        conn.commit()
        for _ in range(4):
            with monkeypatch.context() as patch:
                patch.setattr(place, no_room)
                with pytest.raises(LocalDiskError):
                    ingest_item(sources.url, item_id, quiet, settings=sources.settings)
            assert [(row["status"], row["attempt"]) for row in sources.items()] == [("found", 0)]
        assert sources.ingest(item_id).is_new


def test_what_was_cancelled_stays_so_until_it_is_asked_for(sources: Sources, tmp_path: Path) -> None:
    described_tiff(tmp_path / "inbox" / "d1.tif")
    source = sources.add("folder", tmp_path / "inbox")
    sources.scan(source)
    item_id = sources.items()[0]["ingest_item_id"]

    def cancel(_stage: str, _done: int, _total: int) -> None:
        raise InterruptionError(is_cancelled=True)

    with pytest.raises(InterruptionError):
        ingest_item(sources.url, item_id, cancel, settings=sources.settings)
    sources.scan(source)
    assert [(row["status"], row["error"]) for row in sources.items()] == [("failed", "cancelled")]
    assert sources.ingest(item_id).status == "failed"
    assert sources.scenes() == []
    with connect(sources.url) as conn:
        assert retry_failed(conn, source) == 1
    assert sources.ingest(item_id).is_new


def test_two_looks_at_once_find_each_scene_once(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    names = [f"s{number}" for number in range(6)]
    for number, name in enumerate(names):
        sentinel_item(folder, name, number)
    source = sources.add("stac_catalogue", write_catalogue(folder, names))
    new: list[int] = []
    threads = [
        threading.Thread(target=lambda: new.append(scan(sources.url, source, quiet).new)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new) == 6
    assert len(sources.items()) == 6
    assert len(sources.jobs("ingest_item")) == 6


def test_two_sources_ingesting_the_same_scene_at_once_store_it_once(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "one")
    catalogue = write_catalogue(folder, ["one"])
    for name in ("first", "second"):
        source = sources.add("stac_catalogue", catalogue, name=name)
        sources.scan(source)
    ids = [row["ingest_item_id"] for row in sources.items()]
    done: list[ItemOutcome] = []
    threads = [threading.Thread(target=lambda each=each: done.append(sources.ingest(each))) for each in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.is_new for each in done) == [False, True]
    assert sources.scenes() == [("one", 1)]
    assert {row["status"] for row in sources.items()} == {"ingested"}


def test_a_worker_that_was_given_up_stores_nothing(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "d1.tif")
    source = sources.add("folder", folder)
    sources.scan(source)
    (row,) = sources.items()
    item_id = row["ingest_item_id"]
    asleep, go_on = threading.Event(), threading.Event()
    ended: list[Exception] = []

    def sleep(stage: str, done: int, _total: int) -> None:
        if stage == "storing" and not asleep.is_set():
            asleep.set()
            go_on.wait(60)

    def first() -> None:
        try:
            ingest_item(sources.url, item_id, sleep, settings=sources.settings)
        except SupersededError as error:
            ended.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert asleep.wait(60)
    # It sleeps with the scene's locks; the next attempt does not wait for it.
    begun = time.monotonic()
    assert sources.ingest(item_id).is_new
    assert time.monotonic() - begun < 30
    go_on.set()
    thread.join(60)
    assert len(ended) == 1
    assert sources.scenes() == [("d1", 1)]
    assert sources.items()[0]["attempt"] == 2


def test_an_item_that_always_kills_its_worker_fails_after_three(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "d1.tif")
    source = sources.add("folder", folder)
    sources.scan(source)
    item_id = sources.items()[0]["ingest_item_id"]
    for _ in range(3):
        with connect(sources.url) as conn:
            assert claim_item(conn, item_id) is not None
    assert sources.ingest(item_id).status == "failed"
    (row,) = sources.items()
    assert (row["status"], row["attempt"]) == ("failed", 3)
    assert "its workers died in all of 3 attempts" in row["error"]


def test_a_job_that_was_lost_is_made_again_by_the_next_look(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "d1.tif")
    source = sources.add("folder", folder)
    sources.scan(source)
    assert len(sources.jobs("ingest_item")) == 1
    sources.scan(source)
    assert len(sources.jobs("ingest_item")) == 1
    sources.execute("delete from lode_queue.procrastinate_jobs")
    sources.scan(source)
    assert len(sources.jobs("ingest_item")) == 1
    sources.execute("delete from lode_queue.procrastinate_jobs")
    with connect(sources.url) as conn:
        claim_item(conn, sources.items()[0]["ingest_item_id"])
        conn.commit()
        assert enqueue_lost(conn, source) == 0  # a worker is at it
        conn.execute("update lode.ingest_item set updated_at = now() - interval '7 hours'")
        assert enqueue_lost(conn, source) == 1


def test_paused_and_removed_sources_do_nothing(sources: Sources, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "d1.tif")
    source = sources.add("folder", folder)
    sources.scan(source)
    item_id = sources.items()[0]["ingest_item_id"]
    sources.execute("update lode.ingest_source set enabled = false")
    assert sources.scan(source).is_paused
    assert sources.ingest(item_id).status == "paused"
    assert sources.items()[0]["attempt"] == 0
    sources.execute("delete from lode.ingest_source")
    assert sources.ingest(item_id).status == "removed"
    with pytest.raises(UsageError, match="it was removed"):
        sources.scan(source)


def test_a_run_is_asked_for_in_the_transaction_of_its_scene(sources: Sources, tmp_path: Path) -> None:
    source = published(sources, tmp_path / "inbox")
    model_id = sources.value("select model_id from lode.model")
    sources.execute(
        "update lode.model set retired_at = now(), retired_reason = 'worn out' where model_id = %s",
        (model_id,),
    )
    described_tiff(tmp_path / "inbox" / "second.tif", 2, day="2022-06-19")
    sources.scan(source)
    assert sources.ingest_all(source) == []
    rows = {row["item_key"]: row for row in sources.items()}
    assert rows["second.toml"]["status"] == "failed"
    assert "worn out" in rows["second.toml"]["error"]
    assert sources.scenes() == [("early", 1)]
