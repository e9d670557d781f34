"""How a job ended: one word for each way, the same for workers of the queue and actors of a campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.connection import describe, is_transient, redact
from db.errors import InterruptionError, MachineError, OutdatedError, RetryError, SupersededError, UsageError
from db.machine_faults import machine_fault
from service import logs, protocol


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        end: one of the words of ``service.protocol``.
        reason: why it failed.
        result: its figures.
        is_spoilt: the process that did it may fail at every job that follows, and must be begun anew.

    """

    end: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    is_spoilt: bool = False


def carry_out(work: Callable[[], Mapping[str, Any]]) -> Outcome:
    """Do a job and say how it ended; a bug is logged with its traceback."""
    try:
        return Outcome(protocol.DONE, result=dict(work()))
    except OutdatedError as error:  # later, so that its worker has time to find out and end
        return Outcome(protocol.TRANSIENT, str(error))
    except InterruptionError as error:
        return Outcome(protocol.CANCELLED if error.is_cancelled else protocol.RELEASED)
    except SupersededError as error:
        return Outcome(protocol.SUPERSEDED, str(error))
    except Exception as error:
        fault = machine_fault(error)
        if fault is not None:
            is_spoilt = isinstance(fault, MachineError) and fault.spoils_process
            return Outcome(protocol.UNWELL, _said(error), is_spoilt=is_spoilt)
        if isinstance(error, RetryError) or is_transient(error):
            return Outcome(protocol.TRANSIENT, _said(error))
        if isinstance(error, UsageError):
            return Outcome(protocol.REFUSED, str(error))
        logs.logger(__name__).exception("a job broke")
        return Outcome(protocol.BROKEN, redact(f"{type(error).__name__}: {error}"), is_spoilt=True)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, UsageError) else describe(error)
