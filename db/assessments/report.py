"""What `lode assess report` prints: rows of the views about one assessment, and what to know about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.assessments.catalogue import Assessment, assessment_by_name
from db.assessments.seal import Seal, seal_of_assessment
from db.errors import UsageError
from db.reports.report import Report, read_report


@dataclass(frozen=True)
class AnswerCounts:
    """Points of an assessment by what became of them.

    Attributes:
        answered: with a reference class.
        cannot_tell: most interpreters could not tell.
        tie: two answers were given equally often.
        unanswered: nobody answered.
        several: answered by more than one interpreter.
        agreed: of those, where all gave the same answer.

    """

    answered: int
    cannot_tell: int
    tie: int
    unanswered: int
    several: int
    agreed: int


@dataclass(frozen=True)
class AssessmentReport:
    """Everything about one assessment.

    Attributes:
        assessment: the design.
        seal: sums of the sample and of the answers that the figures stand on.
        areas: rows of ``lode_api.area_uncertainty`` without name and year.
        matrix: rows of ``lode_api.error_matrix``, likewise.
        answers: points by what became of them.
        warnings: what whoever reads the figures must know.

    """

    assessment: Assessment
    seal: Seal
    areas: Report
    matrix: Report
    answers: AnswerCounts
    warnings: tuple[str, ...]


def assessment_report(conn: Connection[Any], name: str) -> AssessmentReport:
    """Areas, accuracies and error matrix of an assessment, from the views.

    Raises:
        UsageError: there is no such assessment, its sample is no longer the one that was drawn, or a
            stratum has fewer than two points with a reference class, so that its error is unknown.

    """
    assessment = assessment_by_name(conn, name)
    seal = seal_of_assessment(conn, assessment.assessment_id)
    if seal.fault is not None:
        raise UsageError(
            f"assessment {name!r}: {seal.fault}. What somebody chose says nothing about the rest: restore "
            "the sample from a dump, or draw a new one"
        )
    areas = read_report(
        conn,
        "select land_class, land_class_name_zh, mapped_area_m2, estimated_area_m2, standard_error_m2,"
        " lower_m2, upper_m2, users_accuracy, users_accuracy_se, producers_accuracy, producers_accuracy_se,"
        " overall_accuracy, overall_accuracy_se, sample_count, answered_count, reason, is_outdated,"
        " unanswered_count"
        " from lode_api.area_uncertainty where assessment = %s order by ogc_fid",
        (name,),
    )
    rows = areas.dicts()
    if any(row["estimated_area_m2"] is None for row in rows):
        raise UsageError(
            f"assessment {name!r}: {rows[0]['reason']}. A stratum with one answer or none is an error, not a "
            "number: every stratum needs two, and 50 are usual"
        )
    matrix = read_report(
        conn,
        "select map_class, map_class_name_zh, reference_class, reference_class_name_zh, mapped_area_m2,"
        " mapped_proportion, answered_count, point_count, area_proportion"
        " from lode_api.error_matrix where assessment = %s order by ogc_fid",
        (name,),
    )
    answers = _answer_counts(conn, name)
    return AssessmentReport(assessment, seal, areas, matrix, answers, _warnings(rows, answers))


def _answer_counts(conn: Connection[Any], name: str) -> AnswerCounts:
    row = conn.execute(
        "select count(*) filter (where status = 'answered'), count(*) filter (where status = 'cannot tell'),"
        " count(*) filter (where status = 'tie'), count(*) filter (where status = 'unanswered'),"
        " count(is_agreed), count(*) filter (where is_agreed)"
        " from lode_api.sample_reference where assessment = %s",
        (name,),
    ).fetchone()
    return AnswerCounts(*(row or (0,) * 6))


def _warnings(rows: list[dict[str, Any]], answers: AnswerCounts) -> tuple[str, ...]:
    found = []
    if any(row["is_outdated"] for row in rows):
        found.append(
            "the map has changed since the points were drawn: the figures are of the map as it was; "
            "draw a new sample for the map of today"
        )
    if answers.unanswered:
        found.append(f"points without an answer yet: {answers.unanswered}; the figures will change")
    unknown = answers.cannot_tell + answers.tie
    if unknown:
        found.append(
            f"points without a reference class: {unknown} ({answers.cannot_tell} where nobody can tell, "
            f"{answers.tie} where they disagree evenly); they are left out, as if never drawn"
        )
    for row in rows:
        if row["users_accuracy"] == 1:
            # With none wrong of n, up to this share may be: 0.95 = 1 - (1 - share)^n.
            share = 1 - 0.05 ** (1 / row["answered_count"])
            found.append(
                f"{row['land_class']}: none of {row['answered_count']} points was found to be wrong; its "
                f"standard error 0 does not say that nothing is: up to {share:.1%} may be (95 %)"
            )
    return tuple(found)
