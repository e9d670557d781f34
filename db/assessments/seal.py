"""The sum over design, strata and points that shows whether a sample is still the one that was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection


@dataclass(frozen=True)
class Seal:
    """State of a sample, from ``lode_api.assessment_seal``, which says what is summed.

    Attributes:
        drawn_sha256: SHA-256 of design, strata and points at the draw.
        fault: why the sample proves nothing: it is no longer the one that was drawn; None: it is.
        answers_sha256: SHA-256 of the answers as they are now; None: there is none.

    """

    drawn_sha256: str | None
    fault: str | None
    answers_sha256: str | None


def seal_assessment(conn: Connection[Any], assessment_id: int) -> str:
    """End the draw of an assessment now, in the caller's transaction, whose end would do it anyway.

    Returns:
        SHA-256 of design, strata and points, none of which can be changed from here on.

    """
    conn.execute("set constraints lode.seal immediate")
    conn.execute("set constraints lode.seal deferred")  # the next draw of this transaction has its own end
    sha256 = seal_of_assessment(conn, assessment_id).drawn_sha256
    if sha256 is None:
        raise RuntimeError(f"assessment {assessment_id} was not sealed")
    return sha256


def seal_of_assessment(conn: Connection[Any], assessment_id: int) -> Seal:
    """State of the sample of an assessment."""
    row = conn.execute(
        "select drawn_sha256, fault, answers_sha256 from lode_api.assessment_seal where ogc_fid = %s",
        (assessment_id,),
    ).fetchone()
    if row is None:
        raise RuntimeError(f"there is no assessment {assessment_id}")
    return Seal(*row)


def seal_faults(conn: Connection[Any]) -> list[str]:
    """Assessments whose sample is no longer the one that was drawn, one line each."""
    rows = conn.execute(
        "select assessment, fault from lode_api.assessment_seal where fault is not null order by assessment"
    )
    return [f"assessment {name}: {fault}" for name, fault in rows]
