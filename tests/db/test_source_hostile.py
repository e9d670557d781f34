"""A catalogue made to do harm: each bad scene is refused with its reason, and the good one is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from db.errors import UsageError
from tests.source_files import sentinel_item, write_catalogue, write_item
from tests.source_runs import Sources
from tests.stac_server import StacServer, served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


def spoil(folder: Path, name: str, href: str | None, **changes: Any) -> None:
    """An item whose red band lies elsewhere."""
    item = sentinel_item(folder, name, 5, with_checksum=False)
    if href is not None:
        item["assets"]["red"]["href"] = href
    write_item(folder, {**item, **changes})


def test_the_rest_of_a_hostile_catalogue_goes_on(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    outside = tmp_path / "secret.tif"
    sentinel_item(tmp_path, "hidden", 8)
    (tmp_path / "hidden" / "B04.tif").rename(outside)
    names = [
        "good", "up", "passwd", "huge", "loop", "html", "bandless", "s3", "absolute", "wrong", "backslash",
        "vsi",
    ]  # fmt: skip
    sentinel_item(folder, "good", 1)
    spoil(folder, "up", "../../secret.tif")
    spoil(folder, "passwd", "file:///etc/passwd")
    spoil(folder, "absolute", str(outside))
    spoil(folder, "huge", None)
    spoil(folder, "loop", None)
    spoil(folder, "html", None)
    spoil(folder, "s3", "s3://bucket/B04.tif")
    spoil(folder, "backslash", "..\\..\\B04.tif")
    spoil(folder, "vsi", "/vsicurl/http://127.0.0.1/B04.tif")
    spoil(folder, "bandless", None, assets={"x": {"href": "./B02.tif", "roles": ["data"]}})
    item = sentinel_item(folder, "wrong", 6)
    item["assets"]["red"]["file:checksum"] = "1220" + "0" * 64
    write_item(folder, item)
    (folder / "bomb").mkdir()
    (folder / "bomb" / "item.json").write_text('{"a":' * 100_000)
    (folder / "nameless").mkdir()
    (folder / "nameless" / "item.json").write_text('{"type": "Feature", "stac_version": "1.0.0", "id": 7}')
    write_catalogue(folder, [*names, "bomb", "nameless", "gone"])
    sources = Sources(database_url, tmp_path)
    with served(folder) as server:
        server.claims["/huge/B04.tif"] = 10 << 40
        server.redirects["/loop/B04.tif"] = "/loop/B04.tif"
        server.bodies["/html/B04.tif"] = ("image/tiff", b"<!DOCTYPE html><html>not here</html>")
        source = sources.add("stac_catalogue", server.url("catalog.json"))
        outcome = sources.scan(source)
        assert (outcome.listed, len(outcome.refused)) == (len(names), 3)
        done = sources.ingest_all(source)
    assert [(each.product, each.status) for each in done] == [("good", "ingested")]
    assert sources.scenes() == [("good", 1)]
    told = sources.value("select last_error from lode.ingest_source")
    for each in (
        "3 refused",
        "bomb/item.json",
        "nested too deeply",
        "no properties or no assets",
        "gone/item.json",
        "404",
    ):
        assert each in told
    reasons = {row["item_key"].partition("/")[2]: row["error"] for row in sources.items()}
    expected = {
        "up": "404",  # a server cannot be left upwards: this is another address of its own
        "passwd": "only http and https are fetched",
        "absolute": "404",
        "huge": f"has {10 << 40} bytes",
        "loop": "redirects more than 5 times",
        "html": "a web page",
        "s3": "only http and https are fetched",
        "backslash": "is no address",
        "vsi": "404",
        "bandless": "none of its assets is a band",
        "wrong": "has not the sha256",
    }
    assert {name: reason in str(reasons[name]) for name, reason in expected.items()} == dict.fromkeys(
        expected, True
    ), reasons
    assert {row["status"] for row in sources.items()} == {"ingested", "failed"}
    assert sources.cached() == []
    # Nothing is tried again that cannot succeed.
    assert sources.ingest_all(source) == []
    assert {row["attempt"] for row in sources.items()} == {1}


def test_a_catalogue_on_disk_does_not_lead_out_of_its_folder(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(tmp_path / "private", "own", 8)
    red = tmp_path / "private" / "own" / "B04.tif"
    sentinel_item(folder, "good", 1)
    for name, href in (
        ("up", "../../private/own/B04.tif"),
        ("file", f"file://{red}"),
        ("absolute", str(red)),
        ("link", "./linked.tif"),
        ("passwd", "file:///etc/passwd"),
    ):
        spoil(folder, name, href)
    (folder / "link" / "linked.tif").symlink_to(red)
    names = ["good", "up", "file", "absolute", "link", "passwd"]
    more = [{"rel": "child", "href": "../private/own/item.json"}, {"rel": "child", "href": "/etc/passwd"}]
    sources = Sources(database_url, tmp_path)
    source = sources.add("stac_catalogue", write_catalogue(folder, names, more=more))
    outcome = sources.scan(source)
    assert (outcome.new, len(outcome.refused)) == (6, 2)
    assert all("outside the folders" in reason for reason in outcome.refused)
    assert [each.product for each in sources.ingest_all(source)] == ["good"]
    errors = [row["error"] for row in sources.items() if row["status"] == "failed"]
    assert len(errors) == 5
    assert all("outside the folders" in error for error in errors)


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> Iterator[tuple[Sources, StacServer, StacServer]]:
    """An API with two pages, and another server whose secrets lie in the worker's file."""
    sources = Sources(database_url, tmp_path)
    with served(tmp_path / "api") as server, served(tmp_path / "other") as other:
        server.page_items = 1
        server.items += [sentinel_item(server.root, name, 1) for name in ("one", "two")]
        secrets = tmp_path / "headers.toml"
        secrets.write_text(f'["{other.address.removeprefix("http://")}"]\nX-Api-Key = "s3cret"\n')
        secrets.chmod(0o600)
        sources.settings = sources.settings.model_copy(update={"stac_headers_file": secrets})
        yield sources, server, other


@pytest.mark.parametrize(
    ("method", "reason"),
    [("DELETE", "only GET and POST"), ("PUT", "only GET and POST"), ("POST", "not where the source lies")],
)
def test_no_link_makes_us_change_anything_on_another_server(
    guarded: tuple[Sources, StacServer, StacServer], method: str, reason: str
) -> None:
    sources, server, other = guarded
    server.next_link = {"method": method, "href": other.url("api/collections/c"), "body": {"a": 1}}
    source = sources.add("stac_api", server.url("api"))
    with pytest.raises(UsageError, match=reason):
        sources.scan(source)
    assert other.asked == []
    assert reason in sources.value("select last_error from lode.ingest_source")


def test_no_redirect_takes_a_search_to_another_server(
    guarded: tuple[Sources, StacServer, StacServer],
) -> None:
    sources, server, other = guarded
    server.redirects["/api/search"] = other.url("api/search")
    with pytest.raises(UsageError, match="not where the source lies"):
        sources.scan(sources.add("stac_api", server.url("api")))
    assert other.asked == []


def test_headers_that_a_link_wants_are_not_sent(guarded: tuple[Sources, StacServer, StacServer]) -> None:
    sources, server, _ = guarded
    server.next_link = {"headers": {"X-Wanted": "1", "Host": "elsewhere.example"}}
    assert sources.scan(sources.add("stac_api", server.url("api"))).listed == 2
    assert not any("X-Wanted" in each.headers or "elsewhere" in str(each.headers) for each in server.asked)


def test_a_search_that_lies_on_another_server_is_asked_without_a_body(
    guarded: tuple[Sources, StacServer, StacServer],
) -> None:
    sources, server, other = guarded
    other.items = server.items
    with urlopen(server.url("api")) as answer:  # noqa: S310 - on loopback
        landing = json.load(answer)
    for link in landing["links"]:
        if link["rel"] == "search":
            link["href"] = other.url("api/search")
    server.bodies["/api"] = ("application/json", json.dumps(landing).encode())
    assert sources.scan(sources.add("stac_api", server.url("api"))).listed == 2
    assert {each.method for each in other.asked} == {"GET"}


def test_items_that_cannot_be_read_stop_no_catalogue(database_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    sentinel_item(folder, "good", 1)
    spoil(folder, "address", "http://[x]/B04.tif")
    spoil(folder, "coordinate", None, geometry={"type": "Point", "coordinates": [10**400, 0]})
    catalogue = write_catalogue(folder, ["address", "coordinate", "good"])
    sources = Sources(database_url, tmp_path)
    outcome = sources.scan(sources.add("stac_catalogue", catalogue))
    assert (outcome.new, len(outcome.refused)) == (1, 2)
    assert "2 refused" in sources.value("select last_error from lode.ingest_source")
