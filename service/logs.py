"""Structured logs: what happened, with run and scene, and without any secret.

Lines of JSON where nobody looks on (or ``LODE_LOG=json``), readable ones on a terminal (or
``LODE_LOG=text``). What libraries log (procrastinate, psycopg, rasterio) and warnings of Python go the same
way as our own events.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import quote

import psycopg
import structlog
from psycopg.conninfo import conninfo_to_dict
from pydantic_settings import BaseSettings, SettingsConfigDict
from structlog.types import Processor

from db.connection import checked_url
from db.errors import UsageError
from service.redaction import Redactor, is_secret_name

_OWN = "lode_log_handler"
_SHORTEST_SECRET = 6
"""A password that is a common word would blot out half of every line."""


class LogSettings(BaseSettings):
    """What can be set from outside.

    Attributes:
        log: ``json``, ``text``, or empty: by whether it goes to a terminal.
        log_level: debug, info, warning or error.

    """

    model_config = SettingsConfigDict(env_prefix="LODE_", env_ignore_empty=True, extra="ignore")

    log: Literal["", "json", "text"] = ""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def configure(stream: TextIO | None = None) -> None:
    """Send all events of this process to a stream; called again, it replaces what it set up before.

    Args:
        stream: where lines go, by default standard error.

    Raises:
        UsageError: ``LODE_LOG`` or ``LODE_LOG_LEVEL`` is none of the words above.

    """
    settings = _settings()
    stream = stream or sys.stderr
    is_json = settings.log == "json" or (settings.log == "" and not stream.isatty())
    redactor = Redactor(environment_secrets(os.environ))

    def redact(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        return redactor.mapping(event)

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if is_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    handler = logging.StreamHandler(stream)
    handler.set_name(_OWN)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # The extras of a library's record, procrastinate's above all, are fields like ours.
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            # Redaction is the last but one: nothing that comes later adds text.
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == _OWN]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a logger made at import would keep the first configuration
    )
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger; events are named in a few words, everything else is a field."""
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Let every event within carry these fields: run_id, scene, model, job, worker, attempt.

    They hold in tasks of asyncio that are started within, and in no other thread.
    """
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def environment_secrets(environment: Mapping[str, str]) -> set[str]:
    """Secrets that this process was given: values of variables that are named like one, passwords of URLs."""
    found = set()
    for name, value in environment.items():
        if is_secret_name(name) and name not in ("PWD", "OLDPWD"):  # folders, not passwords
            found.add(value)
        elif "://" in value or "password" in value:
            found |= _passwords(value)
    found |= {quote(secret, safe="") for secret in found}
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def _passwords(url: str) -> set[str]:
    try:
        parts = conninfo_to_dict(checked_url(url))
    except (UsageError, psycopg.Error, ValueError):
        return set()
    return {str(value) for key, value in parts.items() if "password" in key and value}


def _settings() -> LogSettings:
    try:
        return LogSettings()
    except ValueError as error:
        raise UsageError(
            "LODE_LOG is json or text, LODE_LOG_LEVEL debug, info, warning or error: got "
            f"{os.environ.get('LODE_LOG', '')!r} and {os.environ.get('LODE_LOG_LEVEL', '')!r}"
        ) from error


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A bug's traceback is an event as well: Python's own way would print it unredacted."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger("lode").critical("a bug ended this process", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread else ""
    error = failed.exc_value or failed.exc_type()
    logger("lode").critical(
        "a bug ended a thread", thread=name, exc_info=(failed.exc_type, error, failed.exc_traceback)
    )
