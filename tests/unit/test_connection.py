"""Connection strings without their passwords, and which errors are tried again."""

from __future__ import annotations

from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from db.connection import checked_url, describe, is_transient, redact, retrying, safe_url
from db.errors import RetryError, UsageError

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
