"""Mapped area beside planted area."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from db.registry import model_by_name
from db.reports.report import Report
from db.reports.table import print_table
from db.reports.views import damage_report
from ingest.simulate.district import District

DAMAGE_KINDS = ("excavated", "occupied")


@dataclass(frozen=True)
class KindArea:
    """Area of a kind of damage in a year, m2, mapped by Lode and planted by the simulation."""

    mine: str
    year: int
    kind: str
    mapped_m2: float
    planted_m2: float


@dataclass(frozen=True)
class Figures:
    """What the demonstration reports.

    Attributes:
        by_mine: area by mine, year and kind.
        model: figures of the network on the test blocks, which neither training nor choosing saw.

    """

    by_mine: list[KindArea]
    model: dict[str, Any]

    def by_year(self) -> list[KindArea]:
        """Area of all mines by year and kind, and of all kinds ("damaged")."""
        sums: dict[tuple[int, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row in self.by_mine:
            for kind in (row.kind, "damaged"):
                sums[row.year, kind][0] += row.mapped_m2
                sums[row.year, kind][1] += row.planted_m2
        return [
            KindArea("all", year, kind, mapped, planted)
            for (year, kind), (mapped, planted) in sorted(sums.items())
        ]

    def as_json(self) -> dict[str, Any]:
        """What ``demo.json`` holds."""
        years: dict[str, dict[str, Any]] = defaultdict(dict)
        for row in self.by_year():
            years[str(row.year)][row.kind] = {
                "mapped_m2": round(row.mapped_m2, 1),
                "planted_m2": round(row.planted_m2, 1),
                "mapped_to_planted": round(row.mapped_m2 / row.planted_m2, 4) if row.planted_m2 else None,
            }
        return {
            "years": years,
            "mean_iou_held_out_blocks": self.model["mean_iou"],
            "model": self.model,
            "mines": [
                {"mine": row.mine, "year": row.year, "kind": row.kind, "mapped_m2": round(row.mapped_m2, 1),
                 "planted_m2": round(row.planted_m2, 1)}
                for row in self.by_mine
            ],
        }  # fmt: skip


def compare(conn: Connection[Any], district: District, model_name: str) -> Figures:
    """Read the mapped areas from the view a report is made from, and the planted ones from the simulation."""
    report = damage_report(conn)
    mapped: dict[tuple[str, int, str], float] = defaultdict(float)
    for row in report.rows:
        values = dict(zip(report.columns, row, strict=True))
        mapped[values["mine_code"], values["year"], values["kind"]] += values["area_m2"] or 0.0
    planted: dict[tuple[str, int, str], float] = defaultdict(float)
    for area in json.loads(district.truth_areas.read_text("utf-8"))["mine_area"]:
        planted[area["mine"], area["year"], area["kind"]] += area["area_m2"]
    keys = sorted({key for key in (*mapped, *planted) if key[2] in DAMAGE_KINDS})
    rows = [KindArea(*key, mapped[key], planted[key]) for key in keys]
    return Figures(rows, model_by_name(conn, model_name).metrics)


def print_comparison(figures: Figures) -> None:
    """Print mapped beside planted area, by mine and in all."""
    rows: list[tuple[Any, ...]] = [
        (row.mine, row.year, row.kind, row.mapped_m2, row.planted_m2, _difference(row))
        for row in (*figures.by_mine, *figures.by_year())
    ]
    columns = ("mine", "year", "kind", "mapped_m2", "planted_m2", "difference")
    print_table(Report(columns, rows), title="Mapped and planted area")


def _difference(row: KindArea) -> str:
    return f"{row.mapped_m2 / row.planted_m2 - 1:+.1%}" if row.planted_m2 else ""
