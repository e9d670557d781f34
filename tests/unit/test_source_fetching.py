"""Fetching from a real server on loopback that stops, fails, lies and changes its mind."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.errors import InterruptionError, RetryError, UsageError
from ingest.sources.fetching import Wanted, fetch
from ingest.sources.settings import SourceSettings
from ingest.sources.web import Web
from tests.source_runs import quiet
from tests.stac_server import StacServer, served


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's servers are on this machine, which a worker asks only where it is told to."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1")


CONTENT = random.Random(7).randbytes(200_000)
NAME = "image.tif"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    with served(tmp_path / "served") as state:
        yield state


def web_of(server: StacServer, **settings: float) -> Web:
    values = {"fetch_pause_s": 0.01, "fetch_timeout_s": 5, "fetch_spare_bytes": 0, **settings}
    return Web(SourceSettings.model_validate(values), server.address, quiet)


def wanted(server: StacServer, folder: Path, **stated: object) -> Wanted:
    return Wanted(server.url(NAME), folder / "out.tif", **stated)  # type: ignore[arg-type]


def nothing(_have: int) -> None:
    return None


def checksum(content: bytes = CONTENT) -> tuple[str, str]:
    return "sha256", hashlib.sha256(content).hexdigest()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("out*")}


def test_a_dropped_connection_is_gone_on_with_and_no_byte_comes_twice(
    server: StacServer, tmp_path: Path
) -> None:
    server.cuts[f"/{NAME}"] = [50_000, 60_000, 1]
    told: list[int] = []
    assert fetch(web_of(server), wanted(server, tmp_path, checksum=checksum()), told.append) == len(CONTENT)
    assert (tmp_path / "out.tif").read_bytes() == CONTENT
    asked = server.of(NAME)
    assert [each.range for each in asked] == [None, "bytes=50000-", "bytes=110000-", "bytes=110001-"]
    assert server.sent(NAME) == len(CONTENT)
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert left(tmp_path) == {"out.tif"}


def test_another_process_goes_on_where_one_was_stopped(server: StacServer, tmp_path: Path) -> None:
    def stop(have: int) -> None:
        if have >= 80_000:
            raise InterruptionError(is_cancelled=False)

    with pytest.raises(InterruptionError):
        fetch(web_of(server), wanted(server, tmp_path), stop)
    assert left(tmp_path) == {"out.tif.part", "out.tif.part.json"}
    have = (tmp_path / "out.tif.part").stat().st_size
    assert 80_000 <= have < len(CONTENT)
    fetch(web_of(server), wanted(server, tmp_path), nothing)
    assert (tmp_path / "out.tif").read_bytes() == CONTENT
    assert server.of(NAME)[1].range == f"bytes={have}-"
    assert server.of(NAME)[1].sent_bytes == len(CONTENT) - have


def test_another_file_under_the_address_is_begun_anew(server: StacServer, tmp_path: Path) -> None:
    other = bytes(reversed(CONTENT))
    server.cuts[f"/{NAME}"] = [50_000]

    def swap(have: int) -> None:
        (server.root / NAME).write_bytes(other)

    fetch(web_of(server), wanted(server, tmp_path), swap)
    assert (tmp_path / "out.tif").read_bytes() == other
    assert [each.status for each in server.of(NAME)] == [200, 200]


def test_a_part_of_before_the_machine_started_is_not_trusted(
    server: StacServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.cuts[f"/{NAME}"] = [50_000]
    with pytest.raises(RetryError, match="gave up after 1 requests"):
        fetch(web_of(server, fetch_attempts=1), wanted(server, tmp_path), nothing)
    assert (tmp_path / "out.tif.part").stat().st_size == 50_000
    monkeypatch.setattr("ingest.sources.fetching._boot", lambda: "another")
    fetch(web_of(server), wanted(server, tmp_path), nothing)
    assert server.of(NAME)[1].range is None
    assert (tmp_path / "out.tif").read_bytes() == CONTENT


def test_errors_of_the_server_are_waited_out(server: StacServer, tmp_path: Path) -> None:
    server.errors[f"/{NAME}"] = 3
    fetch(web_of(server), wanted(server, tmp_path), nothing)
    assert [each.status for each in server.of(NAME)] == [500, 500, 500, 200]
    server.errors["/other"] = 9
    with pytest.raises(RetryError, match=r"/other: the server answers 500; gave up after 3 requests"):
        fetch(web_of(server, fetch_attempts=3), Wanted(server.url("other"), tmp_path / "x"), nothing)
    assert len(server.of("other")) == 3


def test_a_server_that_falls_silent_is_given_up(server: StacServer, tmp_path: Path) -> None:
    server.pause_s = 1.0
    with pytest.raises(RetryError, match="gave up after 2 requests"):
        fetch(web_of(server, fetch_timeout_s=0.2, fetch_attempts=2), wanted(server, tmp_path), nothing)
    assert len(server.of(NAME)) == 2


def test_a_wrong_checksum_is_refused_after_a_second_look(server: StacServer, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"image\.tif: has not the sha256 that the catalogue states"
    ) as caught:
        fetch(web_of(server), wanted(server, tmp_path, checksum=checksum(b"else")), nothing)
    assert not isinstance(caught.value, RetryError)
    assert len(server.of(NAME)) == 2
    assert left(tmp_path) == set()


def test_a_wrong_size_is_refused(server: StacServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has 200000 bytes, and the catalogue says 5"):
        fetch(web_of(server), wanted(server, tmp_path, size_bytes=5), nothing)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("claims", r"has 10737418240 bytes; at most 1000000 are fetched"),
        ("html", "is a web page, no image"),
        ("loop", "redirects more than 5 times"),
        ("file", r"redirects to file:///etc/passwd, which is no address of http or https"),
        ("gone", "the server answers 404"),
        ("denied", r"the server refuses access \(401\)"),
    ],
)
def test_what_a_hostile_server_does_is_refused_at_once(
    server: StacServer, tmp_path: Path, fault: str, reason: str
) -> None:
    path = f"/{NAME}"
    if fault == "claims":
        server.claims[path] = 10 << 30
    elif fault == "html":
        server.bodies[path] = ("text/html; charset=utf-8", b"<html>log in, please</html>")
    elif fault == "loop":
        server.redirects[path] = path
    elif fault == "file":
        server.redirects[path] = "file:///etc/passwd"
    elif fault == "gone":
        (server.root / NAME).unlink()
    else:
        server.needs = ("Authorization", "Bearer right")
    with pytest.raises(UsageError, match=reason) as caught:
        fetch(web_of(server, fetch_limit_bytes=1_000_000), wanted(server, tmp_path), nothing)
    assert not isinstance(caught.value, RetryError)
    assert left(tmp_path) == set()
    assert len(server.of(NAME)) == (6 if fault == "loop" else 1)


def test_a_body_without_end_is_cut_off_at_the_limit(server: StacServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at most 100000 are fetched"):
        fetch(web_of(server, fetch_limit_bytes=100_000), wanted(server, tmp_path), nothing)


def test_room_is_left_on_the_disk(server: StacServer, tmp_path: Path) -> None:
    with pytest.raises(RetryError, match=r"MiB are free, .* make room, or set LODE_CACHE"):
        fetch(web_of(server, fetch_spare_bytes=1 << 60), wanted(server, tmp_path), nothing)
    assert left(tmp_path) <= {"out.tif.part.json"}
    assert server.sent(NAME) <= 200_000


def test_a_public_catalogue_leads_nobody_into_our_own_network(server: StacServer, tmp_path: Path) -> None:
    settings = SourceSettings(fetch_spare_bytes=0)
    outside = Web(settings, "https://1.1.1.1/catalog.json", quiet)
    with pytest.raises(UsageError, match=r"127\.0\.0\.1.*lies in a private network, and the source does not"):
        fetch(outside, wanted(server, tmp_path), nothing)
    assert server.asked == []


def test_secrets_go_to_their_host_only_and_are_never_told(server: StacServer, tmp_path: Path) -> None:
    port = server.address.rpartition(":")[2]
    secrets = tmp_path / "headers.toml"
    secrets.write_text(f'["127.0.0.1:{port}"]\nAuthorization = "Bearer s3cret"\n')
    with pytest.raises(UsageError, match="chmod 600") as caught:
        secrets.chmod(0o644)
        Web(SourceSettings(stac_headers_file=secrets), server.address, quiet)
    assert "s3cret" not in str(caught.value)
    secrets.chmod(0o600)
    server.needs = ("Authorization", "Bearer s3cret")
    web = Web(SourceSettings(stac_headers_file=secrets, fetch_spare_bytes=0), server.address, quiet)
    fetch(web, wanted(server, tmp_path), nothing)
    with served(server.root) as other:
        server.redirects[f"/{NAME}"] = other.url(NAME)
        fetch(web, Wanted(server.url(NAME), tmp_path / "second.tif"), nothing)
        assert "Authorization" not in other.asked[0].headers


def test_secrets_do_not_go_over_the_internet_in_clear(server: StacServer, tmp_path: Path) -> None:
    secrets = tmp_path / "headers.toml"
    secrets.write_text('["1.1.1.1"]\nAuthorization = "Bearer s3cret"\n')
    secrets.chmod(0o600)
    web = Web(SourceSettings(stac_headers_file=secrets), "https://1.1.1.1/", quiet)
    with pytest.raises(UsageError, match="without encryption") as caught:
        fetch(web, Wanted("http://1.1.1.1/a.tif", tmp_path / "out.tif"), nothing)
    assert "s3cret" not in str(caught.value)


def test_an_address_with_a_password_is_refused_and_not_repeated(server: StacServer, tmp_path: Path) -> None:
    url = server.url(NAME).replace("http://", "http://me:s3cret@")
    with pytest.raises(UsageError, match="LODE_STAC_HEADERS_FILE") as caught:
        fetch(web_of(server), Wanted(url, tmp_path / "out.tif"), nothing)
    assert "s3cret" not in str(caught.value)
    assert server.asked == []


def test_a_link_in_the_place_of_the_part_is_not_written_through(server: StacServer, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, tmp_path / "out.tif.part")
    fetch(web_of(server), wanted(server, tmp_path), nothing)
    assert victim.read_bytes() == b"precious"
