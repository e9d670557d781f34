"""Print the report of an assessment: tables to look at, CSV, JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from db.assessments.report import AssessmentReport
from db.reports.report import Report, csv_text, plain_value

M2_PER_HA = 10_000.0
Z_95 = 1.96


def print_csv(report: AssessmentReport) -> None:
    """The areas, one line a class; warnings go to the error output."""
    named = (report.assessment.name, report.assessment.year)
    areas = Report(
        ("assessment", "year", *report.areas.columns), [(*named, *row) for row in report.areas.rows]
    )
    click.echo(csv_text(areas), nl=False)
    for line in report.warnings:
        click.echo(f"warning: {line}", err=True)


def print_json(report: AssessmentReport) -> None:
    """Everything."""
    content = {
        "assessment": asdict(report.assessment),
        "answers_sha256": report.seal.answers_sha256,
        "areas": report.areas.dicts(),
        "error_matrix": report.matrix.dicts(),
        "answers": asdict(report.answers),
        "warnings": list(report.warnings),
    }
    click.echo(json.dumps(content, ensure_ascii=False, indent=1, default=plain_value))


def print_tables(report: AssessmentReport) -> None:
    """Design, error matrix in points and in shares of the area, areas in ha, accuracies, warnings."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    about, answers = report.assessment, report.answers
    click.echo(
        f"{about.name}: map of {about.year}, {about.scope}; {about.point_count} points "
        f"by {about.stratified_by}, seed {about.seed}"
    )
    click.echo(
        f"points: {answers.answered} with a reference class, {answers.cannot_tell} nobody can tell, "
        f"{answers.tie} answered evenly, {answers.unanswered} unanswered; {answers.several} answered "
        f"by several, {answers.agreed} of them alike"
    )
    click.echo(f"SHA-256 of design, strata and points: {report.seal.drawn_sha256}")
    click.echo(f"SHA-256 of the answers: {report.seal.answers_sha256}")
    matrix, areas = report.matrix.dicts(), report.areas.dicts()
    console.print(_matrix(matrix, "Error matrix, points", "point_count", "{:,}"))
    console.print(_matrix(matrix, "Error matrix, share of the area", "area_proportion", "{:.4f}"))
    console.print(_areas(areas))
    console.print(_accuracies(areas))
    overall, error = areas[0]["overall_accuracy"], areas[0]["overall_accuracy_se"]
    click.echo(f"overall accuracy {overall:.1%} ± {Z_95 * error:.1%} (95 %)")
    for line in report.warnings:
        click.echo(f"warning: {line}")


def _matrix(cells: list[dict[str, Any]], title: str, column: str, style: str) -> Any:
    from rich.markup import escape
    from rich.table import Table

    references = list(dict.fromkeys(cell["reference_class"] for cell in cells))
    table = Table(title=f"{title} (rows: map, columns: reference)")
    table.add_column("map")
    for reference in references:
        table.add_column(escape(reference), justify="right")
    table.add_column("all", justify="right")
    for map_class in dict.fromkeys(cell["map_class"] for cell in cells):
        values = [cell[column] for cell in cells if cell["map_class"] == map_class]
        table.add_row(escape(map_class), *(style.format(value) for value in [*values, sum(values)]))
    sums = [
        sum(cell[column] for cell in cells if cell["reference_class"] == reference)
        for reference in references
    ]
    table.add_row("all", *(style.format(value) for value in [*sums, sum(sums)]))
    return table


def _areas(rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Areas, ha (geodesic, WGS 84)")
    table.add_column("class")
    table.add_column("")
    for name in ("mapped", "estimated", "standard error", "± (95 %)", "from", "to"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            escape(row["land_class"]),
            escape(row["land_class_name_zh"]),
            *(
                f"{value / M2_PER_HA:,.2f}"
                for value in (
                    row["mapped_area_m2"],
                    row["estimated_area_m2"],
                    row["standard_error_m2"],
                    Z_95 * row["standard_error_m2"],
                    row["lower_m2"],
                    row["upper_m2"],
                )
            ),
        )
    return table


def _accuracies(rows: list[dict[str, Any]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Accuracy of the map, with standard error")
    for name in ("class", "user's", "producer's", "points", "answered", "why empty"):
        table.add_column(name, justify="right" if name in ("points", "answered") else "left")
    for row in rows:
        table.add_row(
            escape(row["land_class"]),
            _accuracy(row["users_accuracy"], row["users_accuracy_se"]),
            _accuracy(row["producers_accuracy"], row["producers_accuracy_se"]),
            str(row["sample_count"]),
            str(row["answered_count"]),
            escape(row["reason"] or ""),
        )
    return table


def _accuracy(value: float | None, error: float | None) -> str:
    return "" if value is None or error is None else f"{value:.1%} (SE {error:.1%})"
