"""The one error a user is meant to see.

``UsageError`` is printed plainly by the command line, with exit code 1. Every other exception that
reaches the front door is a bug and keeps its traceback.
"""


class UsageError(Exception):
    """What was asked for cannot be done; the message says what was got and what to do about it."""


class RetryError(UsageError):
    """Something outside was in the way (a lock, a restart, a full disk): the same call may succeed later."""


class MachineError(RetryError):
    """A machine was in the way, not the work (its full disk, its sick GPU): another one may do it.

    Attributes:
        spoils_process: the process that met it can do nothing more; it must be begun anew.

    """

    spoils_process = False


class SupersededError(UsageError):
    """An attempt may no longer stage or publish: its work was given to another, was cancelled or is done."""


class InterruptionError(Exception):
    """Raised within a computation, between two windows, to stop it; what was begun is given back.

    Attributes:
        is_cancelled: nobody wants it any more; otherwise it goes back to the queue.

    """

    def __init__(self, *, is_cancelled: bool) -> None:
        super().__init__("cancelled" if is_cancelled else "released")
        self.is_cancelled = is_cancelled


class OutdatedError(InterruptionError, UsageError):
    """The database was upgraded while this process worked: what it had begun is given back."""

    def __init__(self, message: str) -> None:
        super().__init__(is_cancelled=False)
        self.args = (message,)
