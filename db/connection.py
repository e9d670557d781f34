"""Connections to the database, and what to say or do when one fails."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from db.embedded import Cluster
from db.errors import MachineError, RetryError, UsageError
from db.settings import Settings

Result = TypeVar("Result")
Report = Callable[[str], None]

CONNECT_TIMEOUT_S = 10

# A dropped network is noticed within a minute, so that a worker does not wait hours for a dead peer.
KEEPALIVES: dict[str, str] = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

TRANSIENT: tuple[type[psycopg.Error], ...] = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.AdminShutdown,
    errors.IdleInTransactionSessionTimeout,  # this process was stopped in the middle of a transaction
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.DiskFull,
)
"""Errors after which the same transaction may succeed."""

_SILENT = r"No such file or directory|Connection refused|timeout"
_BUSY = r"starting up|shutting down|recovery mode|not accepting|too many|remaining connection"
_CLOSED = r"closed the connection|terminat"
_NO_NAME = r"Name or service not known|No address associated with|nodename nor servname|does not resolve"
_NO_DATABASE = r"database .* does not exist|no such database"
_NO_LOGIN = (
    r"authentication|password|pg_hba|role .* (?:does not exist|is not permitted)|no such user"
    r"|permission denied for database|not currently accepting"
)
_NO_TLS = (
    r"certificate|private key|SSL negotiation|support (?:SSL|GSSAPI)|SSL connection is required"
    r"|SSL error: .*(?:alert|wrong version|unsupported protocol|handshake failure|no protocols)"
)
_NO_SENSE = r"[Ii]nvalid|unrecognized|unsupported|is too long|on socket .* Permission denied"


def database_url(settings: Settings) -> str:
    """Libpq URL of the database: ``LODE_DATABASE_URL``, else the private cluster's.

    Raises:
        UsageError: the URL cannot be understood.

    """
    if settings.database_url:
        return checked_url(settings.database_url)
    return Cluster(settings.home).url(settings.database)


def checked_url(url: str) -> str:
    """Understand a connection string (URL or ``key=value``), also with SQLAlchemy's ``+psycopg``.

    Raises:
        UsageError: it cannot be understood. What libpq says is not repeated: it quotes passwords.

    """
    cleaned = re.sub(r"^postgres(?:ql)?(?:\+\w+)?://", "postgresql://", url.strip())
    # libpq ends the password at the first @ and would show the rest as a host's name.
    secret = re.match(r"postgresql://[^/?@]*:(.*)@", cleaned)
    if secret is not None and re.search(r"[@/?]", secret.group(1)):
        raise UsageError(
            "the database URL holds @, / or ? within its password or parameters: "
            "write them as %40, %2F and %3F"
        )
    try:
        conninfo_to_dict(cleaned)
    except (psycopg.ProgrammingError, UnicodeError):
        raise UsageError(
            "the database URL cannot be understood: it looks like postgresql://user:password@host:5432/database"
        ) from None
    return cleaned


def safe_url(url: str) -> str:
    """Show where a connection string leads, without its passwords."""
    parts = conninfo_to_dict(checked_url(url))
    shown = {key: str(value) for key, value in parts.items() if "password" not in key}
    return make_conninfo("", **shown)


def redact(text: str) -> str:
    """Blot out the passwords of connection strings within a text."""
    text = re.sub(r"(\w+://[^\s:/?@]*:)[^\s]*@", r"\1***@", text)
    return re.sub(
        r"((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", r"\1***", text, flags=re.IGNORECASE
    )


def connect(
    settings_or_url: Settings | str,
    *,
    autocommit: bool = False,
    application_name: str = "lode",
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
) -> psycopg.Connection[TupleRow]:
    """Connect to the database.

    Args:
        settings_or_url: settings, or a libpq URL or connection string.
        autocommit: whether each statement is its own transaction.
        application_name: what ``pg_stat_activity`` shows.
        connect_timeout_s: seconds to wait per address.

    Raises:
        RetryError: the server does not run, is starting, has no connection left, or something else is in
            the way that may pass.
        UsageError: it refuses (unknown database, user or password, encryption or certificate), or there is
            no host of that name.

    """
    url = (
        database_url(settings_or_url)
        if isinstance(settings_or_url, Settings)
        else checked_url(settings_or_url)
    )
    given = conninfo_to_dict(url)
    wanted = {**KEEPALIVES, "application_name": application_name, "connect_timeout": str(connect_timeout_s)}
    missing = {key: value for key, value in wanted.items() if key not in given}
    try:
        return psycopg.connect(url, autocommit=autocommit, **missing)  # type: ignore[arg-type]  # libpq's own
    except psycopg.OperationalError as error:
        raise _connection_error(url, error) from error


def retrying(
    function: Callable[[], Result],
    *,
    attempts: int = 6,
    first_pause_s: float = 0.5,
    longest_pause_s: float = 30.0,
    report: Report | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Call a function again while something outside is in the way.

    Locks that were not had, deadlocks, restarts, lost connections, no connection left and a full disk of the
    server are tried again; every other error passes, also a fault of this machine. Pauses double and are
    drawn between half and the whole, so that rivals do not meet again.

    Args:
        function: one whole transaction. It opens its own connection if it shall outlive a restart.
        attempts: calls at most.
        first_pause_s: pause after the first failure, in seconds.
        longest_pause_s: no pause is longer, in seconds.
        report: takes a line before each pause.
        sleep: waits.

    Raises:
        RetryError: the last attempt failed too; names the cause.

    """
    pause_s = first_pause_s
    for attempt in range(1, attempts + 1):
        try:
            return function()
        except Exception as error:
            if not is_transient(error) or isinstance(error, MachineError):
                raise
            cause = describe(error)
            if attempt == attempts:
                raise RetryError(f"gave up after {attempts} attempts: {cause}") from error
        if report is not None:
            report(f"{cause}; attempt {attempt + 1} of {attempts} follows")
        sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - nothing secret
        pause_s = min(pause_s * 2, longest_pause_s)
    raise ValueError(f"attempts must be at least 1, got {attempts}")


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction may succeed later."""
    cause = _driver_error(error)
    if isinstance(cause, (RetryError, *TRANSIENT)):
        return True
    # libpq reports a lost connection without a state. An aborted pipeline only follows another error.
    is_lost = isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None
    return is_lost and not isinstance(cause, errors.PipelineAborted)


def describe(error: BaseException) -> str:
    """What happened, in one line without passwords."""
    cause = _driver_error(error)
    first = redact(str(cause)).strip().split("\n")[0]
    if isinstance(cause, errors.DiskFull):
        return f"the database's disk is full ({first}): free some space there"
    if isinstance(cause, errors.LockNotAvailable):
        return f"other sessions hold a lock ({first})"
    return first or type(cause).__name__


def refusal(error: BaseException) -> str | None:
    """What is said when a login has not the right to do something, and who has; None: it is another error."""
    cause = _driver_error(error)
    if not isinstance(cause, errors.InsufficientPrivilege):
        return None
    said = cause.diag.message_primary or describe(cause)
    hint = cause.diag.message_hint or (
        "LODE_DATABASE_URL names a login that may not do this. Labels, mines, sources and requests are for"
        " lode_analyst, scenes, runs and the queue for lode_worker, all else for lode_owner (docs/roles.md)"
    )
    return f"{said}: {hint}"


def _driver_error(error: BaseException) -> BaseException:
    """The driver's error within one of SQLAlchemy, which keeps it in ``orig``."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, BaseException) else error


def _connection_error(url: str, error: psycopg.OperationalError) -> UsageError:
    """Our error for one of a connection: what is known to stay is refused, everything else may pass."""
    parts = conninfo_to_dict(url)
    said = redact(str(error)).strip()
    where = safe_url(url)
    host = str(parts.get("host") or "")
    is_local = host == "" or host.startswith("/")
    # A database or role may be called as it likes.
    meant = re.sub(r'"[^"\n]*"', '""', said)
    if re.search(_NO_TLS, meant):
        return UsageError(
            f"{where} cannot be reached safely ({said}): see that sslmode and the certificates are right"
        )
    if re.search(_SILENT, meant):
        advice = "run `lode up`" if is_local else "see that the server runs and that its address is right"
        return RetryError(f"no database server answers at {where}: {advice}")
    if re.search(_BUSY, meant):
        return RetryError(f"the database server at {where} takes no connection now: {said}")
    if re.search(_CLOSED, meant):
        return RetryError(f"the database server at {where} closed the connection: {said}")
    if re.search(_NO_DATABASE, meant):
        advice = (
            "run `lode up`, which creates it" if is_local else f"create it (createdb {parts.get('dbname')})"
        )
        return UsageError(f"there is no such database at {where}: {advice}")
    if re.search(_NO_LOGIN, meant):
        return UsageError(
            f"the database server at {where} refused the login ({said}): "
            "see that user and password in LODE_DATABASE_URL are right"
        )
    if re.search(_NO_NAME, meant) or re.search(_NO_SENSE, meant):
        return UsageError(f"cannot connect to {where}: {said}")
    return RetryError(f"cannot connect to {where}: {said}")


def read_as_of_now(conn: psycopg.Connection[Any]) -> None:
    """Let the transaction that begins here see the database as it is now, to its end, and write nothing."""
    conn.execute("set transaction isolation level repeatable read, read only")
