"""Logins from ~/.netrc: for the source's own host and port, and for nobody else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from db.errors import UsageError
from ingest.sources.secrets import netrc_header
from ingest.sources.settings import SourceSettings
from ingest.sources.web import Web
from tests.source_runs import quiet
from tests.stac_server import StacServer, served

MINE = "Basic " + base64.b64encode(b"me:s3cret").decode()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own; its servers are on this machine."""
    monkeypatch.setenv("LODE_PRIVATE_HOSTS", "127.0.0.1 localhost")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.json").write_text("{}")
    with served(tmp_path / "served") as state:
        yield state


def write_netrc(home: Path, text: str, mode: int = 0o600) -> None:
    (home / ".netrc").write_text(text)
    (home / ".netrc").chmod(mode)


def web(location: str, headers: Path | None = None) -> Web:
    return Web(SourceSettings(fetch_attempts=1, stac_headers_file=headers), location, quiet)


def authorizations(server: StacServer) -> list[str | None]:
    return [asked.headers.get("Authorization") for asked in server.asked]


def test_a_login_goes_to_the_sources_own_host_and_to_no_other_one(server: StacServer, home: Path) -> None:
    write_netrc(home, "machine 127.0.0.1 login me password s3cret\nmachine localhost login a password b\n")
    own = web(server.address)
    assert own.text(server.url("a.json")) == "{}"
    assert authorizations(server) == [MINE]
    with served(server.root) as other:
        # Where a redirect leads, and where a catalogue's own links do: another port, another name.
        server.redirects["/b.json"] = other.url("a.json")
        own.text(server.url("b.json"))
        own.text(other.url("a.json"))
        own.text(other.url("a.json").replace("127.0.0.1", "localhost"))
        assert authorizations(other) == [None] * 3
    assert authorizations(server) == [MINE, MINE]


def test_the_default_goes_to_nobody(server: StacServer, home: Path) -> None:
    write_netrc(home, "default login me password s3cret\n")
    web(server.address).text(server.url("a.json"))
    assert authorizations(server) == [None]
    assert netrc_header("default") == {}


def test_the_file_of_headers_comes_first(server: StacServer, home: Path) -> None:
    write_netrc(home, "machine 127.0.0.1 login me password s3cret\n")
    headers = home / "headers.toml"
    headers.write_text('["127.0.0.1"]\nAuthorization = "Bearer right"\n')
    headers.chmod(0o600)
    web(server.address, headers).text(server.url("a.json"))
    headers.write_text('["127.0.0.1"]\nX-Api-Key = "k"\n')
    web(server.address, headers).text(server.url("a.json"))
    assert authorizations(server) == ["Bearer right", None]


def test_a_login_is_not_sent_in_clear_over_the_internet(home: Path) -> None:
    write_netrc(home, "machine 1.1.1.1 login me password s3cret\n")
    with pytest.raises(UsageError, match=r"without encryption, with what ~/\.netrc holds") as caught:
        web("http://1.1.1.1/").text("http://1.1.1.1/a.json")
    assert "s3cret" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused_where_it_counts(server: StacServer, home: Path) -> None:
    write_netrc(home, "machine 127.0.0.1 login me password s3cret\n", 0o644)
    with pytest.raises(UsageError, match="chmod 600") as caught:
        web(server.address)
    assert "s3cret" not in str(caught.value)
    write_netrc(home, "machine elsewhere login me password s3cret\n", 0o644)
    assert web(server.address).text(server.url("a.json")) == "{}"
    write_netrc(home, "machine elsewhere s3cret\n")
    with pytest.raises(UsageError, match=r"cannot be understood as a netrc file \(line \d+\)") as caught:
        web(server.address)
    assert "s3cret" not in str(caught.value)
