"""Geology: strata across a strike, faults that shift them, plutons, and deposits near both."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from shapely import LineString, Point, Polygon

from ingest.simulate.fields import FloatMap, fractal_noise, smoothstep, stream
from ingest.simulate.ground import frame
from ingest.simulate.layout import Site


@dataclass(frozen=True)
class Fault:
    """A fault trace in pixel coordinates (column, row)."""

    name: str
    kind: str
    line: LineString


@dataclass(frozen=True)
class Pluton:
    """An intrusive body in pixel coordinates (column, row)."""

    name: str
    lithology: str
    outline: Polygon


@dataclass(frozen=True)
class Deposit:
    """A known occurrence of ore in pixel coordinates (column, row)."""

    name: str
    mineral: str
    size: str
    point: Point


@dataclass(frozen=True)
class Geology:
    """Bedrock: `strata` is a phase of 0..4 (height, width), `granite` the share 0..1 of plutonic ground."""

    strata: FloatMap
    granite: FloatMap
    faults: list[Fault]
    plutons: list[Pluton]
    deposits: list[Deposit]


def make_geology(seed: int, height_m: FloatMap, sites: list[Site]) -> Geology:
    """Geology of the district; granite quarries stand on plutons, ore lies near faults and contacts."""
    shape = height_m.shape[0], height_m.shape[1]
    rng = stream(seed, "geology")
    strike = float(rng.uniform(0.1, 0.5))
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None, :]
    size = float(np.sqrt(shape[0] * shape[1] / len(sites)))
    strata = (columns * np.float32(np.sin(strike)) + rows * np.float32(np.cos(strike))) / np.float32(
        0.17 * size
    )
    strata = strata + height_m / 45 + 0.55 * fractal_noise(rng, shape, 0.7 * size, 4)
    faults = []
    for number in range(2 + len(sites) // 12):
        fault, side = _fault(rng, number, shape, strike)
        strata += np.float32(rng.uniform(0.9, 1.7)) * side
        faults.append(fault)
    granite = np.zeros(shape, np.float32)
    plutons = []
    for number, site in enumerate(s for s in sites if s.plan.mineral in ("granite", "lead_zinc")):
        near = site.plan.mineral == "granite"
        centre = site.place((0.0, 0.1) if near else (-0.95, -0.85))
        reach = site.radius_px * (1.1 if near else 0.7)
        plutons.append(_pluton(rng, number, centre, reach, granite))
    deposits = _deposits(rng, shape, sites, faults, plutons)
    return Geology((strata % 4).astype(np.float32), granite, faults, plutons, deposits)


def _fault(
    rng: np.random.Generator, number: int, shape: tuple[int, int], strike: float
) -> tuple[Fault, FloatMap]:
    """A fault across the district, and +0.5 on one side of it and -0.5 on the other."""
    reach = float(np.hypot(*shape))
    bearing = -strike + float(rng.uniform(0.35, 0.9)) * (1 if number % 2 else -1)
    cos, sin = np.cos(bearing), np.sin(bearing)
    middle = np.array([rng.uniform(0.25, 0.75) * shape[1], rng.uniform(0.25, 0.75) * shape[0]])
    knots = np.linspace(-reach, reach, 161)
    wiggle = ndimage.gaussian_filter1d(rng.standard_normal(161), 5) * 0.05 * reach
    columns = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(middle[0])
    rows = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(middle[1])
    along = columns * np.float32(cos) + rows * np.float32(sin)
    off = rows * np.float32(cos) - columns * np.float32(sin)
    bend = np.interp(along.ravel(), knots, wiggle).reshape(shape).astype(np.float32)
    side = 0.5 * np.tanh((off - bend) / 4.0)
    course = np.stack(
        [middle[0] + knots * cos - wiggle * sin, middle[1] + knots * sin + wiggle * cos], axis=1
    )
    kept = course[np.all((course > 0) & (course < np.array(shape)[::-1]), axis=1)]
    kind = ("thrust", "strike_slip", "normal")[number % 3]
    line = LineString(kept if len(kept) > 1 else course[79:82])
    return Fault(f"F{number + 1}", kind, line), side.astype(np.float32)


def _pluton(
    rng: np.random.Generator, number: int, centre: tuple[float, float], reach_px: float, granite: FloatMap
) -> Pluton:
    """A pluton with a lobed outline; its ground is added to `granite` with a contact of some pixels."""
    turn = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    waves = [(k, float(rng.normal(0, 0.16)) / k**0.6, float(rng.uniform(0, 6.28))) for k in range(2, 9)]
    radius = reach_px * (1 + sum(a * np.cos(k * turn + p) for k, a, p in waves))
    part = frame(centre, 1.8 * reach_px, 0.0, (granite.shape[0], granite.shape[1]))
    if not part.is_empty:
        angle = np.arctan2(part.v, part.u)
        limit = np.interp(angle, turn, radius, period=2 * np.pi).astype(np.float32)
        inside = smoothstep(limit - np.hypot(part.u, part.v), -4.0, 6.0)
        window = granite[part.rows, part.columns]
        np.maximum(window, inside, out=window)
    outline = np.stack([centre[1] + radius * np.cos(turn), centre[0] + radius * np.sin(turn)], axis=1)
    names = ("白石头岩体", "Nangou stock", "天山岩体")
    lithology = ("biotite granite", "granodiorite", "two-mica granite")[number % 3]
    return Pluton(f"{names[number % 3]} {number + 1}", lithology, Polygon(outline))


def _deposits(
    rng: np.random.Generator,
    shape: tuple[int, int],
    sites: list[Site],
    faults: list[Fault],
    plutons: list[Pluton],
) -> list[Deposit]:
    """The mines' own deposits, and occurrences nobody mines near faults and contacts."""
    found = [
        Deposit(site.name, site.plan.mineral, "medium", Point(site.centre[1], site.centre[0]))
        for site in sites
    ]
    hosts = [fault.line for fault in faults] + [pluton.outline.exterior for pluton in plutons]
    for number in range(2 * len(sites)):
        host = hosts[int(rng.integers(len(hosts)))]
        on = host.interpolate(float(rng.random()), normalized=True)
        column, row = on.x + float(rng.normal(0, 18)), on.y + float(rng.normal(0, 18))
        if 0 < column < shape[1] and 0 < row < shape[0]:
            mineral = ("copper", "gold", "lead_zinc", "tungsten")[number % 4]
            found.append(Deposit(f"occurrence {number + 1}", mineral, "occurrence", Point(column, row)))
    return found
