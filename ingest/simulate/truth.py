"""Exact areas: what a perfect map would report, counted in pixels."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio import features
from shapely import MultiPolygon, Polygon
from shapely.geometry import shape as as_geometry

from ingest.simulate.fields import ByteMap
from ingest.simulate.ground import CLASS_KEYS

# Damage kind by class code; what is not listed is no damage.
KIND_OF_CLASS = {2: "excavated", 3: "occupied", 4: "occupied", 5: "occupied", 6: "excavated", 7: "occupied"}
TREATED_KEYS = {9: "treated_open_pit", 10: "treated_dump"}
_RULE = (
    "A pixel counts for a mine when its centre lies inside the mine's boundary; water counts as excavated "
    "there whatever fills it; area is pixels x 4 m2 on the grid in EPSG:32645, not geodesic."
)


@dataclass(frozen=True)
class MineArea:
    """Area of one class in one mine and year."""

    year: int
    mine: str
    land_class: str
    code: int
    kind: str
    pixels: int
    area_m2: float


def mine_index(boundaries: list[MultiPolygon], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Number of the mine (from 1, 0 for none) whose boundary holds each pixel's centre."""
    pairs = [(geometry, number) for number, geometry in enumerate(boundaries, start=1)]
    return np.asarray(features.rasterize(pairs, out_shape=shape, fill=0, dtype="int32"), dtype=np.int32)


def count_areas(
    year: int, class_map: ByteMap, mine: NDArray[np.int32], codes: list[str], pixel_m2: float
) -> list[MineArea]:
    """Area per mine and class of one year; classes a mine does not have are left out."""
    table = np.bincount(mine.ravel() * 8 + class_map.ravel(), minlength=8 * (len(codes) + 1)).reshape(-1, 8)
    return [
        MineArea(
            year, code, key, value, KIND_OF_CLASS.get(value, "none"), int(pixels), int(pixels) * pixel_m2
        )
        for code, counts in zip(codes, table[1:], strict=True)
        for value, (key, pixels) in enumerate(zip(CLASS_KEYS, counts, strict=True))
        if pixels
    ]


def treated_areas(
    year: int, treated: ByteMap, mine: NDArray[np.int32], codes: list[str], pixel_m2: float
) -> list[MineArea]:
    """Area per mine of ground that stands treated in a year (treated in that year or before)."""
    found = []
    for value, key in TREATED_KEYS.items():
        counts = np.bincount(mine[treated == value], minlength=len(codes) + 1)[1:]
        found += [
            MineArea(year, code, key, value, "treated", int(n), int(n) * pixel_m2)
            for code, n in zip(codes, counts, strict=True)
            if n
        ]
    return found


def treated_outlines(treated: ByteMap) -> list[tuple[int, Polygon]]:
    """Treated class code and exact outline in pixel coordinates of each treated patch."""
    return [
        (int(value), as_geometry(geometry))
        for geometry, value in features.shapes(treated, mask=treated > 0, connectivity=4)
    ]


def write_truth(
    path: Path,
    areas: list[MineArea],
    treated: list[MineArea],
    district: list[dict[str, object]],
    scenes: list[dict[str, object]],
    pixel_m2: float,
) -> None:
    """Write areas per mine, class and year, treated areas, class totals of the district, and scene facts."""
    kinds: dict[tuple[int, str], float] = {}
    for area in areas:
        if area.kind != "none":
            kinds[area.year, area.kind] = kinds.get((area.year, area.kind), 0.0) + area.area_m2

    def row(area: MineArea) -> dict[str, object]:
        return {
            "year": area.year,
            "mine": area.mine,
            "class": area.land_class,
            "code": area.code,
            "kind": area.kind,
            "pixels": area.pixels,
            "area_m2": area.area_m2,
        }

    content = {
        "rule": _RULE,
        "pixel_area_m2": pixel_m2,
        "damage": [{"year": y, "kind": k, "area_m2": m2} for (y, k), m2 in sorted(kinds.items())],
        "mine_area": [row(area) for area in areas],
        "treated": [row(area) for area in treated],
        "district": district,
        "scenes": scenes,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
