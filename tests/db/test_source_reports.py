"""From a published run to the report: asked for once when all is done, complete or not at all, each once."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from db import runs
from db.connection import connect
from db.errors import InterruptionError, RetryError, UsageError
from service.source_reports import write_report
from service.source_tasks import report_source
from tests.source_files import described_tiff
from tests.source_published import AFTER, BEFORE, add_source, publish, published
from tests.source_runs import Sources, quiet


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that reports go to."""
    monkeypatch.setenv("LODE_REPORT_ROOT", str(tmp_path / "reports"))
    return tmp_path / "reports" / "province"


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def day(sources: Sources, later_days: int = 0) -> str:
    query = "select to_char(now() at time zone 'UTC' + make_interval(days => %s), 'YYYY-MM-DD')"
    return str(sources.value(query, (later_days,)))


def test_two_years_of_a_mine_from_the_folder_to_the_signed_pages(
    sources: Sources, tmp_path: Path, place: Path
) -> None:
    folder = tmp_path / "inbox"
    described_tiff(folder / "early.tif", 1, day="2021-06-19")
    described_tiff(folder / "late.tif", 2, day="2022-06-19")
    source = add_source(sources, folder)
    sources.scan(source)
    early, late = sources.ingest_all(source)
    assert early.run_id is not None
    assert late.run_id is not None
    assert sources.states() == {"early.toml": "ingested", "late.toml": "ingested"}
    assert [args["run_id"] for args in sources.jobs("interpret_run")] == [early.run_id, late.run_id]
    assert report_source(sources.url, {"ingest_source_id": source}, quiet) == {"report": None, "items": 0}

    publish(sources.url, early.run_id, BEFORE)
    assert sources.states() == {"early.toml": "published", "late.toml": "ingested"}
    assert sources.jobs("report_source") == []  # the other one is still under way
    publish(sources.url, late.run_id, AFTER)
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]

    begun = day(sources)
    done = report_source(sources.url, {"ingest_source_id": source}, quiet)
    written = place / str(done["report"])
    assert done == {"report": written.name, "items": 2}
    assert written.name in (f"{begun}-1", f"{day(sources)}-1")  # the latter at midnight
    assert list(place.iterdir()) == [written]
    assert sorted(path.name for path in written.iterdir()) == [
        "change-2021-2022.csv", "change-2021-2022.html", "damage.csv", "damage.html", "gaps.csv",
        "manifest.json", "mine-0001-M1.html",
    ]  # fmt: skip
    manifest = json.loads((written / "manifest.json").read_text())
    assert (manifest["source"], manifest["years"], manifest["mines"]) == ("source", [2021, 2022], ["M1"])
    for file in manifest["files"]:
        assert hashlib.sha256((written / file["name"]).read_bytes()).hexdigest() == file["sha256"]
    # The report says what the view says.
    new_m2 = sources.value("select new_area_m2 from lode_api.change_by_mine_year where kind = 'excavated'")
    assert new_m2 > 0
    assert f"{new_m2}" in (written / "change-2021-2022.csv").read_text()
    assert "M1" in (written / "mine-0001-M1.html").read_text()
    assert set(sources.states().values()) == {"reported"}

    assert report_source(sources.url, {"ingest_source_id": source}, quiet) == {"report": None, "items": 0}
    described_tiff(folder / "third.tif", 3, day="2023-06-19")
    sources.scan(source)
    (third,) = sources.ingest_all(source)
    assert third.run_id is not None
    publish(sources.url, third.run_id, AFTER)
    next_report = str(report_source(sources.url, {"ingest_source_id": source}, quiet)["report"])
    assert next_report != written.name
    assert next_report in (f"{written.name[:-2]}-2", f"{day(sources)}-1")
    manifest = json.loads((place / next_report / "manifest.json").read_text())
    assert manifest["years"] == [2023]


def test_a_report_is_whole_or_not_there_and_a_crash_writes_nothing_twice(
    sources: Sources, tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = published(sources, tmp_path / "inbox")

    def stop(_stage: str, done: int, _total: int) -> None:
        if done >= 1:
            raise InterruptionError(is_cancelled=False)

    with pytest.raises(InterruptionError):
        write_report(sources.url, source, stop)
    assert list(place.iterdir()) == []
    (place / f".lode-report-{source}-left").mkdir()  # by a worker that was killed

    with monkeypatch.context() as patch:
        patch.setattr("service.source_reports.mark_reported", _killed)
        with pytest.raises(RuntimeError, match="killed"):
            write_report(sources.url, source, quiet)
    (written,) = place.iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in written.iterdir()}
    assert sources.states() == {"early.toml": "published"}
    done = write_report(sources.url, source, quiet)
    assert done is not None
    assert (done.name, done.items, done.is_new) == (written.name, 1, False)
    assert {path.name: path.stat().st_mtime_ns for path in written.iterdir()} == before
    assert list(place.iterdir()) == [written]
    assert sources.states() == {"early.toml": "reported"}


def _killed(*_: Any) -> int:
    raise RuntimeError("killed")


def test_a_folder_of_somebody_else_is_never_written_into(
    sources: Sources, tmp_path: Path, place: Path
) -> None:
    source = published(sources, tmp_path / "inbox")
    days = (day(sources), day(sources, 1))  # the latter at midnight
    for each in days:
        (place / f"{each}-1").mkdir(parents=True)
        (place / f"{each}-1" / "manifest.json").write_text('{"source": "another", "items": [1]}')
    done = write_report(sources.url, source, quiet)
    assert done is not None
    assert done.name in [f"{each}-2" for each in days]
    for each in days:
        assert [path.name for path in (place / f"{each}-1").iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("folder", ["/etc/lode", "out/link/x", "link"])
def test_reports_stay_below_their_root(sources: Sources, tmp_path: Path, place: Path, folder: str) -> None:
    source = published(sources, tmp_path / "inbox")
    outside = tmp_path / "outside"
    outside.mkdir()
    place.parent.mkdir()
    (place.parent / "link").symlink_to(outside)
    (place.parent / "out").mkdir()
    (place.parent / "out" / "link").symlink_to(outside)
    sources.execute("update lode.ingest_source set report_folder = %s", (folder,))
    with pytest.raises(UsageError, match="lies outside the folder for reports"):
        write_report(sources.url, source, quiet)
    assert list(outside.iterdir()) == []
    assert "its report was not written" in sources.value("select last_error from lode.ingest_source")
    assert sources.states() == {"early.toml": "published"}


def test_two_runs_that_end_at_once_ask_for_one_report(sources: Sources, tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "inbox"
    for number in (1, 2):
        described_tiff(folder / f"s{number}.tif", number, day=f"202{number}-06-19")
    source = add_source(sources, folder)
    sources.scan(source)
    ids = [done.run_id for done in sources.ingest_all(source)]
    threads = [threading.Thread(target=publish, args=(sources.url, run_id, BEFORE)) for run_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]


def test_items_go_with_their_runs(sources: Sources, tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "inbox"
    for number in (1, 2):
        described_tiff(folder / f"s{number}.tif", number, day=f"202{number}-06-19")
    source = add_source(sources, folder)
    sources.scan(source)
    first, second = (done.run_id for done in sources.ingest_all(source))
    assert first is not None
    assert second is not None
    with connect(sources.url) as conn:
        claim = runs.claim_run(conn, first, device="x", versions={})
        conn.commit()
        assert sources.states()["s1.toml"] == "interpreting"
        runs.fail_run(conn, claim, "no memory")
        runs.cancel_run(conn, second)
    items = {row["item_key"]: (row["status"], row["error"]) for row in sources.items()}
    assert items["s1.toml"] == ("failed", "no memory")
    assert items["s2.toml"][0] == "skipped"
    assert sources.jobs("report_source") == []
    # Neither is found anew by the next look, and a run that begins anew takes its item along.
    assert sources.scan(source).new == 0
    with connect(sources.url) as conn:
        scene = conn.execute("select scene_id, model_id from lode.run where run_id = %s", (first,)).fetchone()
        assert scene is not None
        runs.request_interpretation(conn, scene[0], scene[1])
    publish(sources.url, first, BEFORE)
    assert sources.states()["s1.toml"] == "published"
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]


def ingest_one(sources: Sources, source: int, path: Path, seed: int, day: str) -> int:
    """Store one more scene of a folder; its run."""
    described_tiff(path, seed, day=day)
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert done.run_id is not None
    return done.run_id


def test_a_run_deleted_while_it_was_computed_keeps_no_report_waiting(
    sources: Sources, tmp_path: Path, place: Path
) -> None:
    source = add_source(sources, tmp_path / "inbox")
    gone = ingest_one(sources, source, tmp_path / "inbox" / "a.tif", 1, "2021-06-19")
    with connect(sources.url) as conn:
        runs.claim_run(conn, gone, device="x", versions={})
    other = ingest_one(sources, source, tmp_path / "inbox" / "b.tif", 2, "2022-06-19")
    publish(sources.url, other, BEFORE)
    assert sources.jobs("report_source") == []
    sources.execute("delete from lode.run where run_id = %s", (gone,))
    sources.scan(source)
    assert sources.jobs("report_source") == [{"ingest_source_id": source}]
    assert sources.states() == {"a.toml": "interpreting", "b.toml": "published"}


def test_a_scene_deleted_before_its_report_keeps_no_other_waiting(
    sources: Sources, tmp_path: Path, place: Path
) -> None:
    source = published(sources, tmp_path / "inbox")
    for table in ("run", "scene_band", "scene"):
        sources.execute(f"delete from lode.{table}")
    sources.execute("delete from lode_queue.procrastinate_jobs")
    sources.scan(source)
    assert sources.jobs("report_source") == []  # there is nothing to tell of
    for number in (2, 3):
        run_id = ingest_one(
            sources, source, tmp_path / "inbox" / f"s{number}.tif", number, f"202{number}-06-19"
        )
        publish(sources.url, run_id, BEFORE)
        done = write_report(sources.url, source, quiet)
        assert done is not None
        assert done.items == 1
    assert sources.states() == {"early.toml": "published", "s2.toml": "reported", "s3.toml": "reported"}


def test_two_sources_that_report_to_one_folder_write_one_each(
    sources: Sources, tmp_path: Path, place: Path
) -> None:
    first = published(sources, tmp_path / "inbox")
    second = sources.add(
        "folder", tmp_path / "other", name="second", report_folder="province",
        model_id=sources.value("select model_id from lode.model"),
    )  # fmt: skip
    publish(sources.url, ingest_one(sources, second, tmp_path / "other" / "late.tif", 2, "2022-06-19"), AFTER)
    names: list[str] = []

    def meanwhile(_stage: str, _done: int, _total: int) -> None:
        if not names:
            done = write_report(sources.url, second, quiet)
            assert done is not None
            names.append(done.name)

    with pytest.raises(RetryError, match="somebody else wrote a report of this name meanwhile"):
        write_report(sources.url, first, meanwhile)
    assert sources.value("select last_error from lode.ingest_source where name = 'source'") is None
    done = write_report(sources.url, first, quiet)
    assert done is not None
    assert {path.name for path in place.iterdir()} == {done.name, *names}
    assert len({done.name, *names}) == 2
    assert set(sources.states().values()) == {"reported"}
