"""Connection strings without their passwords, and which errors are tried again."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

import db.connection
from db.connection import checked_url, connect, describe, is_transient, redact, retrying, safe_url
from db.errors import RetryError, UsageError
from db.local_disk import LocalDiskError

SECRET = st.text(st.sampled_from("aZ9@/?:#&=%'\\ ü"), min_size=6, max_size=12).map(
    lambda text: f"s3cr{text}et"
)


@given(SECRET)
def test_safe_url_never_shows_the_password(password: str):
    url = f"postgresql://me:{quote(password, safe='')}@localhost:5433/mines"
    assert conninfo_to_dict(checked_url(url))["password"] == password
    assert safe_url(url) == "user=me dbname=mines host=localhost port=5433"


@given(SECRET)
def test_a_password_written_badly_is_refused_without_showing_it(password: str):
    url = f"postgresql://me:{password}@localhost/mines"
    try:
        understood = conninfo_to_dict(checked_url(url))
    except UsageError as error:
        shown = str(error)
        assert "s3cr" not in shown
        assert password[4:-2] not in shown or len(password) < 9
    else:
        assert understood["host"] == "localhost"
        assert "s3cr" not in safe_url(url)


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://me:s3cret@host/db now",
        "cannot reach postgresql://me:s3@cret@host/db now",
        "host=h password=s3cret user=me",
        "host=h password = 's3 cr\\'et' user=me",
        "postgresql://host/db?password=s3cret&user=me",
        "sslpassword=s3cret",
    ],
)
def test_redact(text: str):
    blotted = redact(text)
    assert "***" in blotted
    assert not any(part in blotted for part in ("s3", "cret", "cr\\'et"))


def test_redact_leaves_other_text_alone():
    text = "scene S2A_20220601 at /data/x.tif: 3 bands, see https://example.org/a:b"
    assert redact(text) == text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me@host/db",
        "postgres://me@host/db",
        " postgresql://me@host/db\n",
        "user=me host=host dbname=db",
    ],
)
def test_forms_of_a_url(url: str):
    parts = conninfo_to_dict(checked_url(url))
    assert (parts["user"], parts["host"], parts["dbname"]) == ("me", "host", "db")


@pytest.mark.parametrize("url", ["mysql://s3cret@h/d", "postgresql://h/d?s3cret", "s3cret", "/s3cret/db"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(UsageError, match="cannot be understood") as caught:
        checked_url(url)
    assert "s3cret" not in str(caught.value)


TRANSIENT = [
    errors.LockNotAvailable("lock"),
    errors.DeadlockDetected("deadlock"),
    errors.SerializationFailure("serialization"),
    errors.AdminShutdown("shutdown"),
    errors.CrashShutdown("crash"),
    errors.CannotConnectNow("starting"),
    errors.TooManyConnections("many"),
    errors.DiskFull("full"),
    psycopg.OperationalError("server closed the connection unexpectedly"),
    RetryError("no server answers"),
]
FINAL = [
    errors.UniqueViolation("twice"),
    errors.UndefinedTable("missing"),
    errors.QueryCanceled("cancelled"),
    errors.OutOfMemory("memory"),
    errors.PipelineAborted("aborted"),
    psycopg.InterfaceError("misuse"),
    UsageError("wrong"),
    ValueError("bug"),
]


class Failing:
    """Fails as told, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_transient_errors_are_tried_again(error: Exception):
    function = Failing(error, error)
    pauses: list[float] = []
    assert retrying(function, sleep=pauses.append) == "done"
    assert function.calls == 3
    assert len(pauses) == 2


@pytest.mark.parametrize("error", FINAL, ids=lambda error: type(error).__name__)
def test_other_errors_pass_at_once(error: Exception):
    function = Failing(error)
    with pytest.raises(type(error)):
        retrying(function, sleep=lambda _s: pytest.fail("must not wait"))
    assert function.calls == 1


def test_a_full_disk_of_this_machine_passes_at_once():
    function = Failing(LocalDiskError("full"))
    with pytest.raises(LocalDiskError):
        retrying(function, sleep=lambda _s: pytest.fail("must not wait"))
    assert function.calls == 1


SERVER = 'connection to server at "198.18.0.1", port 5432 failed: '
PASSING = [
    SERVER + "Network is unreachable\n\tIs the server running on that host and accepting TCP/IP connections?",
    SERVER + "No route to host",
    SERVER + "could not fork new process for connection: Resource temporarily unavailable",
    SERVER + "SSL SYSCALL error: EOF detected",
    SERVER + "SSL error: unexpected eof while reading",
    SERVER + "Connection reset by peer",
    SERVER + "something that nobody has seen yet",
    SERVER + "FATAL:  the database system is not accepting connections",
    SERVER + 'FATAL:  too many connections for role "no password"',
    "failed to resolve host 'server': [Errno -3] Temporary failure in name resolution",
    "connection timeout expired",
]
STAYING = [
    SERVER + 'FATAL:  database "mines" does not exist',
    SERVER + 'FATAL:  database "terminated" does not exist',
    SERVER + 'FATAL:  role "me" does not exist',
    SERVER + 'FATAL:  role "timeout" is not permitted to log in',
    SERVER + 'FATAL:  password authentication failed for user "me"',
    SERVER + "fe_sendauth: no password supplied",
    SERVER + 'FATAL:  no pg_hba.conf entry for host "198.18.0.9", user "me", database "mines", no encryption',
    SERVER + 'FATAL:  permission denied for database "mines"\nDETAIL:  User does not have CONNECT privilege.',
    SERVER + "server does not support SSL, but SSL was required",
    SERVER + "SSL error: certificate verify failed",
    SERVER + "SSL error: tlsv1 alert unknown ca",
    SERVER + 'server certificate for "a" does not match host name "b"',
    'root certificate file "/root.crt" does not exist',
    'could not open certificate file "/a.crt": No such file or directory',
    "received invalid response to SSL negotiation: H",
    SERVER + 'FATAL:  unrecognized configuration parameter "x"',
    "failed to resolve host 'nowhere': [Errno -2] Name or service not known",
]


@pytest.mark.parametrize(
    ("said", "may_pass"), [(each, True) for each in PASSING] + [(each, False) for each in STAYING]
)
def test_only_what_is_known_to_stay_is_refused(said: str, may_pass: bool, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_arguments: object, **_named: object) -> None:
        raise psycopg.OperationalError(said)

    monkeypatch.setattr(db.connection.psycopg, "connect", refuse)
    with pytest.raises(UsageError) as caught:
        connect("postgresql://me:s3cret@server/mines")
    assert isinstance(caught.value, RetryError) is may_pass
    assert is_transient(caught.value) is may_pass
    assert "s3cret" not in str(caught.value)


def test_an_error_within_one_of_sqlalchemy_counts():
    from sqlalchemy.exc import OperationalError

    assert is_transient(OperationalError("select", {}, errors.LockNotAvailable("lock")))
    assert not is_transient(OperationalError("select", {}, errors.OutOfMemory("memory")))


def test_attempts_are_capped_pauses_grow_and_the_cause_is_named():
    function = Failing(*[errors.DiskFull("could not extend file")] * 9)
    pauses: list[float] = []
    said: list[str] = []
    with pytest.raises(RetryError, match=r"5 attempts.*disk is full.*could not extend") as caught:
        retrying(
            function, attempts=5, first_pause_s=1, longest_pause_s=3, sleep=pauses.append, report=said.append
        )
    assert function.calls == 5
    assert isinstance(caught.value.__cause__, errors.DiskFull)
    assert len(said) == 4
    for pause, whole in zip(pauses, [1, 2, 3, 3], strict=True):
        assert whole / 2 <= pause <= whole


def test_describe_is_one_line_without_passwords():
    error = psycopg.OperationalError("lost postgresql://me:s3cret@host/db\nmore")
    assert describe(error) == "lost postgresql://me:***@host/db"
