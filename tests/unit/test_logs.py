"""Logs: one chain for our events and those of libraries, with run and scene, and never a secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import UsageError
from service import logs
from service.redaction import Redactor, is_secret_name

PLANTED = "Zq9xK7wV2mPl"
PARTS = tuple(PLANTED[first : first + 6] for first in range(len(PLANTED) - 5))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Configured logs of this process; gives the events so far."""
    monkeypatch.setenv("LODE_LOG_LEVEL", "debug")
    monkeypatch.delenv("LODE_LOG", raising=False)
    stream = io.StringIO()
    with restored():
        logs.configure(stream)
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


class restored:  # noqa: N801 - used as a function
    """What `configure` changes of the process is put back: other tests have their own logging."""

    def __enter__(self) -> None:
        root = logging.getLogger()
        self.kept = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.handlers[:], level, sys.excepthook, threading.excepthook = self.kept
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()


def test_an_event_is_a_line_with_time_level_and_fields(lines: Any) -> None:
    logs.logger("lode.worker").info("run published", polygons=12, area_m2=float("nan"))
    [event] = lines()
    assert event["timestamp"].endswith("Z")
    assert {key: value for key, value in event.items() if key != "timestamp"} == {
        "event": "run published", "level": "info", "logger": "lode.worker", "polygons": 12, "area_m2": "nan",
    }  # fmt: skip


def test_libraries_and_warnings_go_the_same_way(lines: Any) -> None:
    with logs.bound(run_id=4):
        logging.getLogger("procrastinate.worker").warning(
            "Job %s ended", "interpret_run[7]", extra={"job": {"id": 7}}
        )
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a band is constant", RuntimeWarning, stacklevel=1)
    ours, warning = lines()
    assert (ours["event"], ours["logger"], ours["job"], ours["run_id"]) == (
        "Job interpret_run[7] ended", "procrastinate.worker", {"id": 7}, 4,
    )  # fmt: skip
    assert (warning["logger"], warning["level"], warning["run_id"]) == ("py.warnings", "warning", 4)
    assert "a band is constant" in warning["event"]


def test_fields_are_bound_within_and_in_tasks(lines: Any) -> None:
    async def task() -> None:
        logs.logger("x").info("in a task")

    async def work() -> None:
        with logs.bound(run_id=1, scene="GF2_1", attempt=2):
            await asyncio.create_task(task())

    logging.getLogger("asyncio").setLevel("INFO")  # it tells of its selector
    asyncio.run(work())
    with logs.bound(run_id=1), logs.bound(run_id=2):
        logs.logger("x").info("inner")
    logs.logger("x").info("outside")
    assert [(e.get("run_id"), e.get("scene"), e.get("attempt")) for e in lines()] == [
        (1, "GF2_1", 2), (2, None, None), (None, None, None),
    ]  # fmt: skip


def test_configured_twice_every_event_is_there_once(lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    early = logs.logger("made.before")
    monkeypatch.setenv("LODE_LOG_LEVEL", "warning")
    stream = io.StringIO()
    logs.configure(stream)
    early.info("not told")
    early.warning("told")
    logging.getLogger("lib").info("not told either")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["told"]
    assert lines() == []


@pytest.mark.parametrize(
    ("is_terminal", "asked", "is_json"),
    [(False, "", True), (True, "", False), (True, "json", True), (False, "text", False)],
)
def test_json_where_nobody_looks_on(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, asked: str, is_json: bool
) -> None:
    monkeypatch.setenv("LODE_LOG", asked)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    with restored():
        logs.configure(stream)
        try:
            raise ValueError("password=hunter")  # noqa: TRY301
        except ValueError:
            logs.logger("x").exception("it failed", run_id=3)
    shown = stream.getvalue()
    assert shown.startswith("{") is is_json
    assert "it failed" in shown
    assert "ValueError: password=***" in shown
    assert "hunter" not in shown


def test_unknown_words_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LODE_LOG", "xml")
    with pytest.raises(UsageError, match=r"LODE_LOG is json or text.*got 'xml'"):
        logs.configure(io.StringIO())


def fails(message: str) -> None:
    raise RuntimeError(message)


# Each puts a secret into a log in a way in which that happens.
WAYS: dict[str, Callable[[Any, str], None]] = {
    "url": lambda log, s: log.info(f"no answer from postgresql://me:{quote(s, safe='')}@host/db, again"),
    "url in a field": lambda log, s: log.info("x", source=f"https://me:{quote(s, safe='')}@host/a.tif"),
    "token as login": lambda log, s: log.info("x", href=f"https://{quote(s, safe='')}@host/a.tif"),
    "conninfo": lambda log, s: log.info("x", conninfo=f"host=h password='{escaped(s)}' dbname=d"),
    "field": lambda log, s: log.info("x", password=s),
    "field of another kind": lambda log, s: log.info("x", db_password_1=[s], AccessToken={"a": s}),
    "headers": lambda log, s: log.info("x", headers={"Authorization": f"Bearer {s}", "X-Api-Key": s}),
    "pairs": lambda log, s: log.info("x", headers=[("Authorization", s), ("Cookie", s)]),
    "pairs in lists": lambda log, s: log.info("x", headers=[["x-api-key", s], ["Accept", "*/*"]]),
    "one pair": lambda log, s: log.info("x", header=["X-Auth-Token", [s]]),
    "pairs of bytes": lambda log, s: log.info("x", headers=[[b"x-api-key", s.encode()]]),
    "arguments": lambda log, s: log.info("x", argv=["curl", "-v", "--password", s, "host"]),
    "arguments of tuples": lambda log, s: log.info("x", argv=("get", "--access-token", s)),
    "command line": lambda log, s: log.info(f"curl --token {quote(s, safe='')} host"),
    "quoted command line": lambda log, s: log.info(f"curl --proxy-password {json.dumps(s)} host"),
    "netrc": lambda log, s: log.info(f"machine h login svc password {quote(s, safe='')} macdef"),
    "netrc on lines": lambda log, s: log.info(f"login svc\n  password {json.dumps(s)}\n"),
    "sql": lambda log, s: log.info(f"alter role me password '{escaped(s)}' valid until"),
    "deep": lambda log, s: log.info("x", a=[{"b": ({"client_secret": s},)}]),
    "header line": lambda log, s: log.info(f"sent Authorization: Bearer {quote(s, safe='')}"),
    "bearer": lambda log, s: log.info("x", said=["sent", f"bearer {quote(s, safe='')}"]),
    "signed s3": lambda log, s: log.info("x", href=f"https://h/a?X-Amz-Signature={quote(s, safe='')}&n=1"),
    "signed azure": lambda log, s: log.info("x", href=f"https://h/a?se=1&sig={quote(s, safe='')}"),
    "signed google": lambda log, s: log.info(f"GET /a?X-Goog-Signature={quote(s, safe='')} failed"),
    "parameter": lambda log, s: log.info(f"GET https://h/a?n=1&access_token={quote(s, safe='')}"),
    "json text": lambda log, s: log.info("answer: " + json.dumps({"refresh_token": s, "n": 1})),
    "repr text": lambda log, s: log.info(f"settings: { {'api_key': s} !r}"),
    "bytes": lambda log, s: log.info("x", body=json.dumps({"secret": s}).encode()),
    "error": lambda log, s: log.info("x", error=RuntimeError(f"https://me:{quote(s, safe='')}@h/")),
    "key block": lambda log, s: log.info(f"-----BEGIN PRIVATE KEY-----\n{s}\n-----END PRIVATE KEY-----"),
    "traceback": lambda log, s: attempt(log, f"postgresql://me:{quote(s, safe='')}@h/d"),
    "cause": lambda log, s: attempt_caused(log, f"password={json.dumps(s)}"),
    "note": lambda log, s: attempt_noted(log, f"token: {quote(s, safe='')}"),
    "arguments of logging": lambda log, s: logging.getLogger("lib").error(
        "GET %s", f"https://h/a?sig={quote(s, safe='')}"
    ),
    "extra of logging": lambda log, s: logging.getLogger("lib").error("x", extra={"auth": {"token": s}}),
    "key of a mapping": lambda log, s: log.info("x", seen={f"https://h/?sig={quote(s, safe='')}": 1}),
    "bound": lambda log, s: bound(log, f"postgresql://me:{quote(s, safe='')}@h/d"),
    "stack": lambda log, s: log.info("x", stack_info=True, api_key=s),
}  # fmt: skip


def escaped(secret: str) -> str:
    return secret.replace("\\", "\\\\").replace("'", "\\'")


def attempt(log: Any, message: str) -> None:
    try:
        fails(message)
    except RuntimeError:
        log.exception("x")


def attempt_caused(log: Any, message: str) -> None:
    try:
        try:
            fails(message)
        except RuntimeError as error:
            raise KeyError("other") from error
    except KeyError:
        logging.getLogger("lib").exception("x")


def attempt_noted(log: Any, message: str) -> None:
    try:
        error = RuntimeError("x")
        error.add_note(message)
        raise error
    except RuntimeError:
        log.exception("x")


def bound(log: Any, value: str) -> None:
    with logs.bound(source=value):
        log.info("x")


AROUND = st.text(st.sampled_from("aZ09 :@/?&=#%+.,;'\"\\{}()[]\t-_üé图"), max_size=8)


def written(way: str, secret: str, form: str) -> str:
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, restored():
        patch.setenv("LODE_LOG", form)
        patch.setenv("LODE_LOG_LEVEL", "debug")
        logs.configure(stream)
        WAYS[way](logs.logger("lode"), secret)
    return stream.getvalue()


@pytest.mark.parametrize("way", list(WAYS))
@settings(max_examples=25)
@given(before=AROUND, after=AROUND, form=st.sampled_from(["json", "text"]))
def test_no_part_of_a_secret_comes_out(way: str, before: str, after: str, form: str) -> None:
    shown = written(way, before + PLANTED + after, form)
    assert shown, "the event itself is there"
    assert not [part for part in PARTS if part in shown], shown
    assert "***" in shown


NESTED = st.recursive(
    AROUND.map(lambda text: text + "<>" + text),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(AROUND, inner, max_size=3), st.tuples(inner, inner)
    ),
    max_leaves=6,
)


def planted(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace("<>", secret)
    if isinstance(value, dict):
        return {planted(key, secret): planted(each, secret) for key, each in value.items()}
    return type(value)(planted(each, secret) for each in value)


@given(NESTED, st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20))
def test_a_known_secret_is_blotted_out_anywhere(value: Any, secret: str) -> None:
    """Whatever stands around it: the password of LODE_DATABASE_URL is known by its letters."""
    url = f"postgresql://me:{quote(secret, safe='')}@host/db"
    redactor = Redactor(logs.environment_secrets({"LODE_DATABASE_URL": url}))
    shown = redactor.mapping({"event": "x", "value": planted(value, f"before {secret} after")})

    def texts(found: Any) -> Iterator[str]:
        if isinstance(found, dict):
            for key, each in found.items():
                yield key
                yield from texts(each)
        elif isinstance(found, list):
            for each in found:
                yield from texts(each)
        else:
            yield str(found)

    assert not any(f"before {secret}" in text for text in texts(shown))


def test_secrets_of_the_environment_are_known() -> None:
    found = logs.environment_secrets(
        {
            "LODE_DATABASE_URL": "postgresql+psycopg://me:s3%20cret@h/d?sslpassword=under%26",
            "PGPASSWORD": "ano'ther",
            "STAC_API_TOKEN": "tok-en-1",
            "PROXY": "http://me:proxied@h:80/",
            "SHORT_SECRET": "abc",
            "HOME": "/home/me",
            "PWD": "/home/me/here",
        }
    )
    assert {"s3 cret", "s3%20cret", "under&", "ano'ther", "tok-en-1"} <= found
    assert not found & {"abc", "/home/me", "/home/me/here"}


def test_what_is_no_secret_stays() -> None:
    redactor = Redactor(["hunter22"])
    for text in (
        "run 12 of scene GF2_PMS1_E84.1: 3 windows of 256 px, 0.97",
        'password authentication failed for user "me"',
        "https://planetarycomputer.example/stac/v1/collections?limit=10&bbox=84,43,85,44",
        "postgresql://me@host/db: postgresql:///lode?host=/run/x&port=5432",
        "Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n    x = g(y)",
        "log in with --password; the login was refused - password or name",
        "the signature of the run, token or not, basic settings, digest mismatch",
    ):  # fmt: skip
        assert redactor.text(text) == text
    fields = {"run_id": 3, "scene": "a b", "stage": None, "mine_code": "M1", "key": "open_pit", "ok": True}
    assert redactor.mapping(fields) == fields
    assert not any(is_secret_name(name) for name in ("author", "scene", "compass", "worker", "queueing_lock"))


def test_terminals_are_not_made_to_obey() -> None:
    assert Redactor().text("a\x1b[2J\x07b\tc\nd\x9b") == "a\\x1b[2J\\x07b\tc\nd\\x9b"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 500_000,
        "password " * 60_000,
        "://" * 100_000 + "password",
        "token" * 100_000,
        '"' * 200_000 + "secret=",
        "password='" + "\\'" * 100_000,
        "x=" * 100_000 + "sig",
        "login a " * 40_000 + "password",
        "--token " * 60_000,
        "-" * 200_000 + "token ",
        "--token '" + "\\'" * 100_000,
    ],
)
def test_long_texts_take_no_time(text: str) -> None:
    begun = time.process_time()
    shown = Redactor(["hunter22"]).text(text)
    assert time.process_time() - begun < 2
    assert len(shown) < 80_000


def test_a_secret_at_the_cut_is_not_halved() -> None:
    text = "x " * 16_374 + f"postgresql://me:{PLANTED}@host/db"
    assert not [part for part in PARTS if part in Redactor().text(text)]


def test_bugs_end_in_the_log(lines: Any) -> None:
    try:
        fails("at https://me:s3cret@h/")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    thread = threading.Thread(target=fails, args=("token=s3cret",), name="reader")
    thread.start()
    thread.join()
    first, second = lines()
    assert first["level"] == "critical"
    assert "in fails" in first["exception"]
    assert "https://***@h/" in first["exception"] or "https://me:***@h/" in first["exception"]
    assert (second["thread"], "token=***" in second["exception"]) == ("reader", True)
    assert "s3cret" not in json.dumps([first, second])
