"""A STAC API on loopback: searched page by page, with what it filters and what it does not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db.connection import connect
from db.errors import UsageError
from db.ingest_sources import note_error
from tests.source_files import sentinel_item
from tests.source_runs import Sources
from tests.stac_server import StacServer, served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    with served(tmp_path / "api") as state:
        yield state


@pytest.fixture
def sources(database_url: str, tmp_path: Path) -> Sources:
    return Sources(database_url, tmp_path)


def add_item(server: StacServer, name: str, seed: int, **facts: Any) -> dict[str, Any]:
    """An item of the API, whose assets the same server serves."""
    item = sentinel_item(server.root, name, seed, **facts)
    for asset in item["assets"].values():
        asset["href"] = server.url(f"{name}/{asset['href'].removeprefix('./')}")
    base = server.url(f"api/collections/{item['collection']}/items/{name}")
    item["links"] = [{"rel": "self", "href": base}]
    server.items.append(item)
    return item


@pytest.mark.parametrize("methods", [("POST", "GET"), ("GET",)])
def test_pages_are_followed_and_every_scene_comes_once(
    sources: Sources, server: StacServer, methods: tuple[str, ...]
) -> None:
    server.methods = methods
    server.page_items = 2
    for number in range(5):
        add_item(server, f"s{number}", number + 1)
    add_item(server, "far", 9, east_m=80_000)
    add_item(server, "else", 10, collection="landsat-c2-l2")
    source = sources.add("stac_api", server.url("api"), collections=["sentinel-2-l2a"])
    outcome = sources.scan(source)
    assert (outcome.listed, outcome.new, outcome.refused) == (5, 5, [])
    searches = [each for each in server.asked if each.path == "/api/search"]
    assert [each.method for each in searches] == [methods[0]] * 3
    assert sources.scan(source).new == 0
    done = sources.ingest_all(source)
    assert [each.product for each in done] == [f"s{number}" for number in range(5)]
    assert len(sources.scenes()) == 5


def test_what_the_server_does_not_filter_is_filtered_here(sources: Sources, server: StacServer) -> None:
    server.ignores_cloud = server.ignores_days = True
    add_item(server, "good", 1)
    add_item(server, "cloudy", 2, cloud=80.0)
    add_item(server, "late", 3, day="2024-01-01")
    source = sources.add("stac_api", server.url("api"), cloud_limit=0.3, to_day="2023-12-31")
    assert sources.scan(source).new == 1
    assert sources.states() == {
        "sentinel-2-l2a/good": "found",
        "sentinel-2-l2a/cloudy": "skipped",
        "sentinel-2-l2a/late": "skipped",
    }


def test_the_server_filters_where_it_says_it_can(sources: Sources, server: StacServer) -> None:
    add_item(server, "good", 1)
    add_item(server, "cloudy", 2, cloud=80.0)
    add_item(server, "late", 3, day="2024-01-01")
    source = sources.add("stac_api", server.url("api"), cloud_limit=0.3, to_day="2023-12-31")
    assert (sources.scan(source).listed, sources.states()) == (1, {"sentinel-2-l2a/good": "found"})
    server.conforms_to = [each for each in server.conforms_to if "query" not in each]
    assert sources.scan(source).listed == 2
    assert sources.states()["sentinel-2-l2a/cloudy"] == "skipped"


def test_an_interrupted_download_goes_on_where_it_stopped(sources: Sources, server: StacServer) -> None:
    add_item(server, "one", 1)
    path = "one/B02.tif"
    size = (server.root / path).stat().st_size
    server.cuts[f"/{path}"] = [1000, 500]
    source = sources.add("stac_api", server.url("api"))
    sources.scan(source)
    (done,) = sources.ingest_all(source)
    assert done.status == "ingested"
    assert server.sent(path) == size
    assert [each.range for each in server.of(path)] == [None, "bytes=1000-", "bytes=1500-"]


def test_a_server_out_of_order_is_tried_three_times_and_then_the_item_failed(
    sources: Sources, server: StacServer
) -> None:
    add_item(server, "one", 1)
    source = sources.add("stac_api", server.url("api"))
    sources.scan(source)
    server.errors["/one/B03.tif"] = 1000
    for attempt in (1, 2, 3):
        sources.ingest_all(source)
        (item,) = sources.items()
        assert (item["status"], item["attempt"]) == ("failed" if attempt == 3 else "found", attempt)
        assert "B03.tif: the server answers 500; gave up after 6 requests" in item["error"]
    assert sources.ingest(item["ingest_item_id"]).status == "failed"
    # What came whole was not fetched again.
    assert len(server.of("one/B02.tif")) == 1
    server.errors["/one/B03.tif"] = 0
    sources.execute("update lode.ingest_item set status = 'found', attempt = 0")
    assert [done.status for done in sources.ingest_all(source)] == ["ingested"]


def test_secrets_of_the_file_open_the_api_and_stand_nowhere(
    sources: Sources, server: StacServer, tmp_path: Path
) -> None:
    add_item(server, "one", 1)
    server.needs = ("X-Api-Key", "s3cret")
    source = sources.add("stac_api", server.url("api"))
    with pytest.raises(UsageError, match="LODE_STAC_HEADERS_FILE"):
        sources.scan(source)
    assert "refuses access (401)" in sources.value("select last_error from lode.ingest_source")
    secrets = tmp_path / "headers.toml"
    secrets.write_text('["127.0.0.1"]\nX-Api-Key = "s3cret"\n')
    secrets.chmod(0o600)
    sources.settings = sources.settings.model_copy(update={"stac_headers_file": secrets})
    assert sources.scan(source).new == 1
    assert [done.status for done in sources.ingest_all(source)] == ["ingested"]
    for table in ("lode.ingest_source", "lode.ingest_item", "lode_queue.procrastinate_jobs", "lode.scene"):
        assert sources.value(f"select count(*) from {table} t where t::text like '%%s3cret%%'") == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("loop", "lead in a circle"),
        ("html", "is no JSON"),
        ("bomb", "nested too deeply"),
        ("large", "answers with more than 64 MiB"),
        ("not_api", "cannot be searched as a STAC API"),
    ],
)
def test_an_api_that_misbehaves_is_refused_and_says_why(
    sources: Sources, server: StacServer, fault: str, reason: str
) -> None:
    for number in range(3):
        add_item(server, f"s{number}", 1)
    server.page_items = 1
    if fault == "loop":
        server.is_looping = True
    elif fault == "html":
        server.bodies["/api/search"] = ("text/html", b"<html>maintenance</html>")
    elif fault == "bomb":
        server.bodies["/api/search"] = ("application/json", b'{"a":' * 5000 + b"1" + b"}" * 5000)
    elif fault == "large":
        server.bodies["/api/search"] = ("application/json", b" " * (65 << 20))
    else:
        server.bodies["/api"] = ("application/json", b'{"type": "FeatureCollection", "features": []}')
    source = sources.add("stac_api", server.url("api"))
    with pytest.raises(UsageError, match=reason):
        sources.scan(source)
    assert reason in sources.value("select last_error from lode.ingest_source")
    # What was listed before the fault stays, once.
    assert set(sources.states().values()) <= {"found"}


SPOILED: dict[str, dict[str, Any]] = {
    "address of an asset": {"assets": {"red": {"href": "http://[x]/a.tif"}}},
    "own address": {"links": [{"rel": "self", "href": "http://[x]/item"}]},
    "NUL in its own address": {"links": [{"rel": "self", "href": "http://127.0.0.1/\0"}]},
    "half a letter in its own address": {"links": [{"rel": "self", "href": "http://127.0.0.1/\ud800"}]},
    "NUL in its id": {"id": "x\0y", "assets": None},
    "coordinate": {"geometry": {"type": "Point", "coordinates": [10**400, 0]}},
    "day": {"properties": {"datetime": "0001-01-01T00:00:00+01:00"}},
}


def test_an_item_that_cannot_be_read_is_told_of_and_the_rest_is_found(
    sources: Sources, server: StacServer
) -> None:
    server.page_items = 1
    good = add_item(server, "good", 1)
    server.items[:] = [{**copy.deepcopy(good), "id": name, **spoiled} for name, spoiled in SPOILED.items()]
    server.items.append(good)
    source = sources.add("stac_api", server.url("api"))
    outcome = sources.scan(source)
    assert (outcome.new, len(outcome.refused)) == (1, len(SPOILED))
    assert all(reason.isprintable() for reason in outcome.refused)
    assert sources.states() == {"sentinel-2-l2a/good": "found"}
    told = sources.value("select last_error from lode.ingest_source where last_scan_at is not null")
    assert told.startswith(f"{len(SPOILED)} refused: ")


def test_what_a_server_says_is_written_down_without_control_characters(
    sources: Sources, server: StacServer
) -> None:
    server.bodies["/api"] = ("application/json", b'{"type": "Catalog", "id": "a", "stac_version": "\\u0000"}')
    source = sources.add("stac_api", server.url("api"))
    with pytest.raises(UsageError, match="cannot be searched"):
        sources.scan(source)
    assert "cannot be searched" in sources.value("select last_error from lode.ingest_source")
    with connect(sources.url) as conn:
        note_error(conn, source, "a\0b\nc\ud800")
    assert sources.value("select last_error from lode.ingest_source") == "a?b c?"
