"""What the benchmark of the accounts found, and the table of it that a README can quote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.server_time import Spent


@dataclass
class Figures:
    """What was measured at one scale; seconds unless said otherwise."""

    mines: int
    polygons: int = 0
    vertices: int = 0
    areas: dict[str, Spent] = field(default_factory=dict)
    everything: dict[str, Spent] = field(default_factory=dict)
    largest_difference: float = 0.0
    published: list[tuple[int, int, Spent]] = field(default_factory=list)
    views: dict[str, dict[str, float]] = field(default_factory=dict)
    tiles: dict[str, dict[int, dict[str, float]]] = field(default_factory=dict)

    def rounded(self) -> dict[str, object]:
        """For ``report``."""
        return {
            "mines": self.mines,
            "polygons": self.polygons,
            "vertices": self.vertices,
            "areas": {name: spent.rounded() for name, spent in self.areas.items()},
            "everything": {name: spent.rounded() for name, spent in self.everything.items()},
            "largest_difference": float(f"{self.largest_difference:.1e}"),
            "published": [
                {"polygons": polygons, "mines": mines, **spent.rounded()}
                for polygons, mines, spent in self.published
            ],
        }


def table(scaled: Sequence[Figures]) -> list[str]:
    """The figures as lines of a table in Markdown, a column for each scale."""
    lines = [
        "| seconds on the clock (of a processor) | "
        + " | ".join(f"{each.mines:,} mines, {each.polygons:,} polygons" for each in scaled)
        + " |",
        "| --- |" + " ---: |" * len(scaled),
    ]

    def line(name: str, cell: Callable[[Figures], str | None]) -> None:
        cells = [cell(each) for each in scaled]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(text or "-" for text in cells) + " |")

    line("areas by mine, year and class, 2 connections", lambda f: _seconds(f.areas.get("two_connections")))
    line("areas by mine, year and class, 1 connection", lambda f: _seconds(f.areas.get("one_connection")))
    line("plain query of areas", lambda f: _seconds(f.areas.get("plain_areas")))
    line("everything, 2 connections", lambda f: _seconds(f.everything.get("ours")))
    line("plain query of areas and change", lambda f: _seconds(f.everything.get("plain_change")))
    line(
        "ratio, areas, 2 connections",
        lambda f: _ratio(f.areas.get("two_connections"), f.areas.get("plain_areas")),
    )
    line(
        "ratio, areas, 1 connection",
        lambda f: _ratio(f.areas.get("one_connection"), f.areas.get("plain_areas")),
    )
    line(
        "ratio, everything to plain areas",
        lambda f: _ratio(f.everything.get("ours"), f.areas.get("plain_areas")),
    )
    line(
        "ratio, everything to plain areas and change",
        lambda f: _ratio(f.everything.get("ours"), f.everything.get("plain_change")),
    )
    line("areas, 2 connections, ms a polygon", lambda f: _each(f.areas.get("two_connections"), f.polygons))
    line("everything, ms a polygon", lambda f: _each(f.everything.get("ours"), f.polygons))
    for number in range(max(len(each.published) for each in scaled)):
        line(*_publication(scaled, number))
    line("slowest view", _slowest_view)
    for name in scaled[-1].tiles:
        line(f"{name}, slowest median of a zoom", partial(_tiles, name=name, figure="median_ms"))
        line(f"{name}, worst tile", partial(_tiles, name=name, figure="worst_ms"))
    return lines


def _seconds(spent: Spent | None) -> str | None:
    return None if spent is None else f"{spent.wall_s:.1f} ({spent.cpu_s:.1f})"


def _ratio(ours: Spent | None, peer: Spent | None) -> str | None:
    if ours is None or peer is None:
        return None
    return f"{peer.wall_s / ours.wall_s:.2f} ({peer.cpu_s / ours.cpu_s:.2f})"


def _each(spent: Spent | None, polygons: int) -> str | None:
    if spent is None:
        return None
    return f"{1000 * spent.wall_s / polygons:.2f} ({1000 * spent.cpu_s / polygons:.2f})"


def _publication(scaled: Sequence[Figures], number: int) -> tuple[str, Callable[[Figures], str | None]]:
    """The line of the scenes that were published at this place in the order."""
    polygons, mines, _ = next(each.published[number] for each in scaled if len(each.published) > number)

    def cell(figures: Figures) -> str | None:
        if len(figures.published) <= number:
            return None
        return _each(figures.published[number][2], figures.published[number][0])

    return f"publishing {polygons:,} polygons over {mines} mines, ms a polygon", cell


def _slowest_view(figures: Figures) -> str | None:
    times = [(ms, view, what) for view, asked in figures.views.items() for what, ms in asked.items()]
    if not times:
        return None
    ms, view, what = max(times)
    return f"{ms:.0f} ms ({view}, {what})"


def _slowest(milliseconds: Sequence[float]) -> str | None:
    return f"{max(milliseconds):.0f} ms" if milliseconds else None


def _tiles(figures: Figures, name: str, figure: str) -> str | None:
    return _slowest([times[figure] for times in figures.tiles.get(name, {}).values()])
