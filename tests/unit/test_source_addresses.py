"""Where sources may lead: no private network that is not listed, no metadata, no name that changes."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from db.errors import RetryError, UsageError
from ingest.sources.addresses import PrivateHosts, is_forbidden, is_private, parse_address
from ingest.sources.settings import SourceSettings
from ingest.sources.web import Web
from tests.source_runs import quiet
from tests.stac_server import StacServer, served


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StacServer]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a.json").write_text("{}")
    with served(tmp_path / "served") as state:
        yield state


def web(location: str, private: str = "", **values: Any) -> Web:
    settings = {"fetch_attempts": 1, "fetch_timeout_s": 5, "private_hosts": private, **values}
    return Web(SourceSettings.model_validate(settings), location, quiet)


@pytest.mark.parametrize(
    ("address", "private", "forbidden"),
    [
        ("1.1.1.1", False, False),
        ("127.0.0.1", True, False),
        ("10.1.2.3", True, False),
        ("100.64.1.1", True, False),
        ("192.0.0.9", True, False),
        ("192.0.0.192", True, True),
        ("100.100.100.200", True, True),
        ("169.254.169.254", True, True),
        ("0.1.2.3", True, False),
        ("224.0.0.1", True, False),
        ("2606:4700::1111", False, False),
        ("::1", True, False),
        ("fd00::1", True, False),
        ("fec0::1", True, False),
        ("fe80::1", True, True),
        ("fe80::1%eth0", True, True),
        ("fd00:ec2::254", True, True),
        ("::ffff:8.8.8.8", False, False),
        ("::ffff:10.0.0.1", True, False),
        ("::ffff:169.254.169.254", True, True),
        ("::7f00:1", True, False),
        ("64:ff9b::808:808", False, False),
        ("64:ff9b::a00:1", True, False),
        ("64:ff9b::a9fe:a9fe", True, True),
        ("64:ff9b:1::a00:1", True, False),
        ("64:ff9b:1:a9fe:a9:fe00::", True, True),
        ("2002:808:808::1", False, False),
        ("2002:a00:1::1", True, False),
        ("2002:a9fe:a9fe::1", True, True),
    ],
)
def test_addresses_and_what_they_stand_for(address: str, private: bool, forbidden: bool) -> None:
    parsed = parse_address(address)
    assert (is_private(address), is_forbidden(parsed)) == (private, forbidden)
    everything = PrivateHosts.parse("0.0.0.0/0 ::/0")
    assert (everything.fault("h", parsed, may_go_inside=True) is not None) is forbidden
    assert (PrivateHosts().fault("h", parsed, may_go_inside=True) is not None) is private
    assert (everything.fault("h", parsed, may_go_inside=False) is not None) is private


def test_hosts_and_networks_that_are_listed() -> None:
    listed = PrivateHosts.parse("Stac.Intern, 10.1.0.0/16 [fd00::5]\n127.0.0.1")
    for host, address, is_held in (
        ("stac.intern", "192.168.1.1", True),
        ("STAC.intern.", "192.168.1.1", True),
        ("other.intern", "192.168.1.1", False),
        ("x", "10.1.255.1", True),
        ("x", "::ffff:10.1.255.1", True),
        ("x", "2002:a01:1::1", False),
        ("x", "10.2.0.1", False),
        ("x", "fd00::5", True),
        ("x", "127.0.0.2", False),
    ):
        assert listed.holds(host, parse_address(address)) is is_held, (host, address)
    for wrong in ("10.0.0.0/40", "a/b", "http://x/", "-x"):
        with pytest.raises(UsageError, match=r"LODE_PRIVATE_HOSTS: .* is neither a host nor a network"):
            PrivateHosts.parse(wrong)


def test_a_source_on_this_machine_has_to_be_listed(server: StacServer) -> None:
    with pytest.raises(UsageError, match=r"set LODE_PRIVATE_HOSTS .* LODE_PRIVATE_HOSTS=127\.0\.0\.1"):
        web(server.address).text(server.url("a.json"))
    assert server.asked == []
    assert web(server.address, "127.0.0.0/8").text(server.url("a.json")) == "{}"
    on_disk = web("/data/catalog.json")
    with pytest.raises(UsageError, match="LODE_PRIVATE_HOSTS"):
        on_disk.text(server.url("a.json"))


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://100.100.100.200/",
    ],
)
def test_metadata_and_the_link_are_refused_whatever_is_listed(url: str) -> None:
    with pytest.raises(UsageError, match="nobody may go there"):
        web(url, "0.0.0.0/0 ::/0 169.254.169.254").text(url)


def test_a_name_that_changes_its_mind_leads_nowhere(
    server: StacServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was checked was public; what the connection would go to is this machine."""
    port = int(server.address.rpartition(":")[2])
    answers = ["1.1.1.1", "1.1.1.1", "127.0.0.1", "127.0.0.1"]
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "rebind.example":
            return real(host, *arguments, **named)
        place = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (place, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    location = f"http://rebind.example:{port}/a.json"
    with pytest.raises(UsageError, match=r"rebind\.example: lies in a private network"):
        web(location, "127.0.0.1").text(location)
    assert server.asked == []
    # A name that was listed is trusted, and what is connected to is what was resolved.
    assert web(location, "rebind.example").text(location) == "{}"
    assert server.asked[0].headers["Host"] == f"rebind.example:{port}"


def test_one_private_address_among_public_ones_is_enough(
    server: StacServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.address.rpartition(":")[2])
    listed = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (p, port)) for p in ("127.0.0.1", "169.254.1.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_n: listed)
    location = f"http://both.example:{port}/a.json"
    with pytest.raises(UsageError, match="nobody may go there"):
        web(location, "127.0.0.1").text(location)
    assert server.asked == []


@contextmanager
def encrypted(folder: Path, target: str) -> Iterator[str]:
    """A server with TLS that answers /a.json and redirects everything else; its address."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", certificate),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"a": 1}' if self.path == "/a.json" else b""
            self.send_response(200 if body else 302)
            if not body:
                self.send_header("Location", target)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.socket = context.wrap_socket(made.socket, server_side=True)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{made.server_address[1]}"
    finally:
        made.shutdown()
        made.server_close()
        thread.join()


@pytest.mark.parametrize("scheme", ["https", "HTTPS", "hTTps"])
def test_nothing_leads_from_https_to_http_however_it_is_written(
    server: StacServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with encrypted(tmp_path, server.url("a.json")) as host:
        untrusted = web(f"{scheme}://{host}/", "127.0.0.1")
        with pytest.raises(RetryError, match="SSLError"):
            untrusted.text(f"{scheme}://{host}/a.json")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
        trusted = web(f"{scheme}://{host}/", "127.0.0.1")
        assert trusted.text(f"{scheme}://{host}/a.json") == '{"a": 1}'
        with pytest.raises(UsageError, match="redirects from https to http://"):
            trusted.text(f"{scheme}://{host}/else")
    assert server.asked == []
