"""A report on the terminal."""

from __future__ import annotations

from db.reports.report import Report


def print_table(report: Report, *, title: str) -> None:
    """Print a report as a table; areas in whole m2 with thousands separated, shares in per cent.

    Columns that a terminal has no room for are left out and named below: CSV and JSON hold all.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title))
    shown = [at for at, name in enumerate(report.columns) if not _is_left_out(name, report.columns)]
    left_out = [name for at, name in enumerate(report.columns) if at not in shown]
    if left_out:
        table.caption = f"{len(shown)} of {len(report.columns)} columns; not shown: {', '.join(left_out)}"
        table.caption_justify = "left"
    for name in (report.columns[at] for at in shown):
        number = name.endswith(("_m2", "_km2", "_fraction", "_count", "rank")) or name in _NUMBERS
        table.add_column(name, justify="right" if number else "left")
    for row in report.rows:
        table.add_row(*(escape(_cell(report.columns[at], row[at])) for at in shown))
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(table)


_LEFT_OUT = (
    "_zh", "exclusive_area_m2", "interpreted_area_m2", "is_interpreted", "is_consecutive", "is_bridging",
    "converted_from_area_m2", "converted_to_area_m2", "interpreted_treated_area_m2", "damage_from_area_m2",
    "damage_to_area_m2", "_sha256", "landcover_id", "label_source", "valid_on", "product_version",
    "run_finished_at", "is_exclusive",
)  # fmt: skip
_SHARES = (
    "_fraction", "share", "_share", "share_of_damage", "share_of_mine_damage", "share_of_region", "_rate",
    "confidence", "_accuracy", "probability",
)  # fmt: skip
_FIGURES = {"value", "low", "high", "threshold"}
_FIGURE_ENDINGS = ("mean_difference", "_drop", "_spread", "_score")
"""Numbers about 1 that are no shares."""
_NUMBERS = {"year", "from_year", "to_year", "share", "confidence", "restoration_rate"}


def _is_left_out(name: str, columns: tuple[str, ...]) -> bool:
    """Whether a terminal does without a column: one of detail, or one that says the same in another unit."""
    return name.endswith(_LEFT_OUT) or (
        name.endswith("_km2") and f"{name.removesuffix('_km2')}_m2" in columns
    )


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if name in _FIGURES or name.endswith(_FIGURE_ENDINGS):
            return f"{value:.3f}"
        if name.endswith(_SHARES):
            return f"{value:.1%}"
        return f"{value:,.3f}" if name.endswith(("_km2", "itude")) else f"{value:,.0f}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
