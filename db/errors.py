"""The one error a user is meant to see.

``UsageError`` is printed plainly by the command line, with exit code 1. Every other exception that
reaches the front door is a bug and keeps its traceback.
"""


class UsageError(Exception):
    """What was asked for cannot be done; the message says what was got and what to do about it."""


class RetryError(UsageError):
    """Something outside was in the way (a lock, a restart, a full disk): the same call may succeed later."""
