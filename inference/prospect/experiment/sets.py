"""The sets of the experiment; one that is in the database is not cut again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

from db.connection import connect
from db.errors import UsageError
from db.prospect_sets import prospect_set_by_name
from inference.prospect.dataset import PatchSet, load_set, make_set
from inference.prospect.request import SetRequest


def kept_set(url: str, request: SetRequest, report: Callable[[str], None]) -> PatchSet:
    """The set of a request, whose name gains a digest of it: another request is another set.

    Args:
        url: libpq URL of the database.
        request: how it is cut.
        report: takes lines of progress.

    Raises:
        UsageError: as `make_set` and `load_set`.

    """
    digest = hashlib.sha256(repr(request).encode()).hexdigest()[:8]
    named = replace(request, name=f"{request.name} {digest}")
    with connect(url, application_name="lode experiment") as conn:
        try:
            prospect_set_by_name(conn, named.name)
        except UsageError:
            patches = make_set(conn, named, report=report)
        else:
            patches = load_set(conn, named.name, report=report)
        conn.commit()
    return patches
