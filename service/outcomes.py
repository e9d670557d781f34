"""How a job ended: one word for each way, the same for workers of the queue and actors of a campaign."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from db.connection import describe, is_transient, redact
from db.errors import InterruptionError, RetryError, SupersededError, UsageError
from db.local_disk import is_local_disk_fault
from service import logs, protocol


@dataclass(frozen=True)
class Outcome:
    """How a job ended: one of the words of ``service.protocol``, the reason when it failed, its figures."""

    end: str
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)


def carry_out(work: Callable[[], Mapping[str, Any]]) -> Outcome:
    """Do a job and say how it ended; a bug is logged with its traceback."""
    try:
        return Outcome(protocol.DONE, result=dict(work()))
    except InterruptionError as error:
        return Outcome(protocol.CANCELLED if error.is_cancelled else protocol.RELEASED)
    except SupersededError as error:
        return Outcome(protocol.SUPERSEDED, str(error))
    except RetryError as error:
        return Outcome(protocol.UNWELL if is_local_disk_fault(error) else protocol.TRANSIENT, str(error))
    except UsageError as error:
        return Outcome(protocol.REFUSED, str(error))
    except Exception as error:
        if is_local_disk_fault(error):
            return Outcome(protocol.UNWELL, describe(error))
        if is_transient(error):
            return Outcome(protocol.TRANSIENT, describe(error))
        logs.logger(__name__).exception("a job broke")
        return Outcome(protocol.BROKEN, redact(f"{type(error).__name__}: {error}"))
