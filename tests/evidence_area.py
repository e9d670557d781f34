"""A small study area with ore in it that no layer names: contents by rock, faults, a pluton, and deposits.

Contents of four elements follow the rock, peridotite in the west and granite in the east; at ``ORE`` there is
more chromium than the rock explains. ``drawn_ground`` is the same without a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from psycopg import Connection

from db.evidence import (
    EvidenceArea,
    EvidenceLayer,
    NewLayer,
    find_layer,
    insert_area,
    insert_layer,
    write_layer,
)
from db.raster import Grid
from inference.evidence.mineral_system import GeologyRule, MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround

Floats = NDArray[np.float32]

SIDE, CELL_M = 40, 100.0
WEST, NORTH = 500_000.0, 4_860_000.0
GRID = Grid(32645, WEST, NORTH, CELL_M, CELL_M, SIDE, SIDE)
UNJUDGED_COLS = 2
"""So many columns in the east are not judged."""
HOLE = (slice(5, 8), slice(30, 34))
"""Cells without copper."""
ELEMENTS = ("Co", "Cr", "Cu", "Ni")
GEOPHYSICS = "magnetic"
ORE = ((8, 6), (14, 12), (21, 9), (27, 15), (33, 7), (12, 17))
"""Rows and columns in whose middle chromite lies, in the peridotite near the fault."""
CONTACT_COL = 20
"""The first column of the granite."""
SYSTEM = "chromite_podiform"
FAST: dict[str, Any] = {
    "window_px": 16, "patch_px": 4, "width": 16, "depth": 1, "heads": 2, "stem": 4, "decoder_width": 16,
    "decoder_depth": 1, "windows": 64, "batch_size": 8, "evaluations": 2,
}  # fmt: skip
"""Settings of `EvidenceSettings` with which a network is trained in a second."""


def contents(seed: int = 1, ore: Sequence[tuple[int, int]] = ORE) -> dict[str, Floats]:
    """(height, width) contents in ppm by element, NaN in the hole; chromium is three times higher at ore."""
    rng = np.random.default_rng(seed)
    cols = np.indices((SIDE, SIDE))[1]
    basic = (cols < CONTACT_COL).astype(float)
    medians = {"Co": (4.0, 80.0), "Cr": (30.0, 1500.0), "Cu": (20.0, 25.0), "Ni": (15.0, 1200.0)}
    shared = rng.normal(0, 0.2, (SIDE, SIDE))
    found = {}
    for element, (granite, peridotite) in medians.items():
        logs = np.log(granite) + basic * np.log(peridotite / granite) + shared
        found[element] = np.exp(logs + rng.normal(0, 0.1, (SIDE, SIDE)))
    for row, col in ore:
        found["Cr"][row - 1 : row + 2, col - 1 : col + 2] *= 3.0
    found["Cu"][HOLE] = np.nan
    return {element: values.astype(np.float32) for element, values in found.items()}


def magnetic(seed: int = 1) -> Floats:
    """(height, width) anomaly of the magnetic field, nT: strong over peridotite."""
    rng = np.random.default_rng(seed + 100)
    cols = np.indices((SIDE, SIDE))[1]
    strength = 200 / (1 + np.exp((cols - CONTACT_COL) / 2))
    return np.asarray(strength + rng.normal(0, 10, (SIDE, SIDE)), np.float32)


def at(row: float, col: float) -> tuple[float, float]:
    """Longitude and latitude of a place on the grid, in cells from its upper left corner."""
    to_lonlat = pyproj.Transformer.from_crs(GRID.srid, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(WEST + col * CELL_M, NORTH - row * CELL_M)
    return lon, lat


def box(top: float, left: float, bottom: float, right: float) -> shapely.MultiPolygon:
    """A rectangle of the grid, in cells, as a shape of EPSG:4326."""
    corners = [at(top, left), at(top, right), at(bottom, right), at(bottom, left)]
    return shapely.MultiPolygon([shapely.Polygon(corners)])


def add_area(conn: Connection[Any], name: str = "area", grid: Grid = GRID) -> EvidenceArea:
    """A study area without layers; the last columns in the east are not judged."""
    return insert_area(conn, name, grid, box(0, 0, SIDE, SIDE - UNJUDGED_COLS))


def add_layer(
    conn: Connection[Any],
    area: EvidenceArea,
    name: str,
    values: Floats,
    *,
    kind: str = "geochemistry",
    element: str | None = None,
    unit: str | None = "ppm",
) -> EvidenceLayer:
    """A layer of an area (height, width), NaN: no value; one of that name is replaced."""
    digest = hashlib.sha256(values.tobytes()).hexdigest()
    known = float(np.isfinite(values[:, : SIDE - UNJUDGED_COLS]).mean())
    new = NewLayer(
        area.evidence_area_id,
        name,
        kind,
        element,
        unit,
        f"{name}.tif",
        digest,
        "nearest",
        CELL_M,
        0.0,
        0.0,
        known,
    )
    replaced = find_layer(conn, area, name)
    layer = insert_layer(conn, new, replaces=replaced)
    write_layer(conn, area, layer, values, replaces=replaced)
    return layer


def add_layers(
    conn: Connection[Any], area: EvidenceArea, values: Mapping[str, Floats] | None = None, seed: int = 1
) -> None:
    """The four elements and the magnetic field."""
    for element, content in (contents(seed) if values is None else values).items():
        add_layer(conn, area, element, content, element=element)
    add_layer(conn, area, GEOPHYSICS, magnetic(seed), kind="geophysics", unit="nT")


def add_geology(conn: Connection[Any]) -> None:
    """A fault down the peridotite, a pluton of peridotite in the west, and both rocks as lithology."""
    fault = shapely.MultiLineString([[at(-5, 8), at(SIDE + 5, 14)]])
    _draw(conn, "fault", ("name", "fault_type"), ("Main", "thrust"), fault)
    _draw(
        conn,
        *("pluton", ("name", "lithology"), ("West", "peridotite")),
        box(-5, -5, SIDE + 5, CONTACT_COL),
    )
    for rock, shape in (
        ("peridotite", box(-5, -5, SIDE + 5, CONTACT_COL)),
        ("granite", box(-5, CONTACT_COL, SIDE + 5, SIDE + 5)),
    ):
        _draw(conn, "lithology", ("name", "rock"), (rock, rock), shape)


def add_deposits(conn: Connection[Any], ore: Sequence[tuple[int, int]] = ORE) -> None:
    """A point of chromium in the middle of each cell of ore, named by row and column."""
    for row, col in ore:
        place = shapely.Point(at(row + 0.5, col + 0.5))
        _draw(
            conn, "deposit", ("name", "commodity", "deposit_type"), (f"{row} {col}", "Cr", "podiform"), place
        )


def fill(conn: Connection[Any], name: str = "area") -> EvidenceArea:
    """Area, layers, geology and deposits; committed."""
    area = add_area(conn, name)
    add_layers(conn, area)
    add_geology(conn)
    add_deposits(conn)
    conn.commit()
    return area


def drawn_ground(seed: int = 1, *, with_geology: bool = True) -> EvidenceGround:
    """The area as the methods get it, without a database: clr over the elements, by median and MAD.

    Copper is unknown in the hole, and there the other elements are known still; the rocks are one-hot.
    """
    stored = contents(seed)
    names = [*ELEMENTS]
    logs = np.log(np.stack([stored[name] for name in names]).astype(np.float64))
    transformed = [*(logs - np.nanmean(logs, axis=0)), magnetic(seed).astype(np.float64)]
    raws = [*(stored[name] for name in names), magnetic(seed)]
    kinds = ["geochemistry"] * len(names) + ["geophysics"]
    transforms = ["clr"] * len(names) + ["none"]
    is_judged = np.ones((SIDE, SIDE), bool)
    is_judged[:, SIDE - UNJUDGED_COLS :] = False
    channels, values = [], []
    for name, kind, transform, layer in zip(
        [*names, GEOPHYSICS], kinds, transforms, transformed, strict=True
    ):
        center = float(np.nanmedian(layer[is_judged]))
        scale = 1.4826 * float(np.nanmedian(np.abs(layer[is_judged] - center)))
        element, unit = (name, "ppm") if kind == "geochemistry" else (None, "nT")
        channels.append(EvidenceChannel(name, kind, element, unit, transform, center, scale, True))
        values.append(np.clip((layer - center) / scale, -8, 8))
    if with_geology:
        basic = np.indices((SIDE, SIDE))[1] < CONTACT_COL
        for rock, is_there in (("granite", ~basic), ("peridotite", basic)):
            channels.append(
                EvidenceChannel(f"lithology: {rock}", "geology", None, None, "one_hot", 0.0, 1.0, False)
            )
            values.append(is_there.astype(np.float64))
            raws.append(is_there.astype(np.float32))
    order = sorted(range(len(channels)), key=lambda each: (channels[each].kind, channels[each].name))
    raw = np.stack([raws[each] for each in order])
    is_known = np.isfinite(raw) & is_judged
    scaled = np.where(is_known, np.stack([values[each] for each in order]), 0)
    return EvidenceGround(
        area="drawn",
        evidence_area_id=0,
        grid=GRID,
        channels=tuple(channels[each] for each in order),
        values=scaled.astype(np.float32),
        raw=np.where(np.isfinite(raw), raw, np.nan).astype(np.float32),
        is_known=is_known,
        is_judged=is_judged,
        layer_ids={name: place + 1 for place, name in enumerate([*names, GEOPHYSICS])},
    )


def drawn_system(**elements: float) -> MineralSystem:
    """A system of chromium and some nickel, or of other elements, near faults."""
    return MineralSystem(
        name="drawn",
        title="Drawn",
        description="Ore that a test drew.",
        commodities=("Cr",),
        elements=elements or {"Cr": 1.0, "Ni": 0.5},
        geology=(GeologyRule("fault", None, (), 500.0, 1.0, "high"),),
        anomaly_share=0.5,
        references=(),
    )


def is_ore() -> NDArray[np.bool_]:
    """(height, width) cells in which chromium was raised."""
    found = np.zeros((SIDE, SIDE), bool)
    for row, col in ORE:
        found[row - 1 : row + 2, col - 1 : col + 2] = True
    return found


def _draw(
    conn: Connection[Any],
    table: str,
    columns: Sequence[str],
    texts: Sequence[str],
    shape: shapely.Geometry,
) -> None:
    query = (
        f"insert into lode.{table} ({', '.join(columns)}, geom)"
        f" values ({', '.join(['%s'] * len(columns))}, st_geomfromwkb(%s, 4326))"
    )
    conn.execute(query.encode(), (*texts, shapely.to_wkb(shape)))
