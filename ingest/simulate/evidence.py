"""A simulated province to look for ore in without labels: evidence as files, and what is planted in it.

Raw maps mislead there: black shale and granite are rich in the ore elements, contents rise towards every
granite, and patches of noise run through all elements at once. Ore stands above what rock and surroundings
lead one to expect, in all ore elements a little. Decoys do so too, far from granites and faults; barren
places have the geology without the halo.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

from db.errors import UsageError
from ingest.simulate.evidence_ground import (
    CELL_M,
    ELEMENTS,
    ORIGIN_M,
    SRID,
    Province,
    burnt_transform,
    make_contents,
    make_geophysics,
)
from ingest.simulate.evidence_ore import (
    FAVOURED_FAULT_M,
    FAVOURED_GRANITE_M,
    FREE_FAULT_M,
    FREE_GRANITE_M,
    KINDS,
    RADIUS_PX,
    STRENGTH,
    Place,
    halos,
    plant,
)
from ingest.simulate.fields import FloatMap, smooth_noise, stream
from ingest.simulate.prospect_files import write_geojson
from ingest.simulate.write import Column

SMALLEST_PX = 96
LARGEST_PX = 2000
NODATA = -9999.0
SAMPLED = "Sn"
"""The element that is handed over as sample points as well."""
DETECTION_PPM = 1.5
CELLS_A_SAMPLE = 20
AREA = "province"
"""Name of the study area in the commands that bring the province in."""
DEPOSIT_TYPE = "pegmatite"
_PERCENT = ("Fe2O3", "MgO", "K2O")


@dataclass(frozen=True)
class EvidenceSimulation:
    """The files of a province.

    Attributes:
        folder: that they lie in.
        elements: raster of each element.
        geophysics: gravity and magnetics.
        samples: points with contents of ``SAMPLED``, some below detection.
        lithology, faults, plutons, deposits, outline: GeoJSON; the last is the study area.
        truth: folder with what is planted: ore, decoys and barren places, halos, facts.

    """

    folder: Path
    elements: Mapping[str, Path]
    geophysics: tuple[Path, ...]
    samples: Path
    lithology: Path
    faults: Path
    plutons: Path
    deposits: Path
    outline: Path
    truth: Path

    def commands(self, area: str = AREA) -> list[list[str]]:
        """Arguments of the `lode` commands that bring the evidence in, without the deposits."""
        rasters = [str(path) for element, path in self.elements.items() if element != SAMPLED]
        per_cent = [path for path in rasters if Path(path).stem in _PERCENT]
        ppm = [path for path in rasters if path not in per_cent]
        evidence = ["ingest", "evidence"]
        contents = ["--area", area, "--kind", "geochemistry"]
        named = ["--name-pattern", "{element}.tif"]
        sampled = ["--element", SAMPLED, "--unit", "ppm", "--srid", str(SRID)]
        first = next(iter(self.elements.values()))
        return [
            ["ingest", "area", area, "--like", str(first), "--inside", str(self.outline)],
            [*evidence, *ppm, *contents, *named, "--unit", "ppm"],
            [*evidence, *per_cent, *contents, *named, "--unit", "%"],
            [*evidence, str(self.samples), *contents, *sampled],
            [*evidence, *map(str, self.geophysics), "--area", area, "--kind", "geophysics"],
            ["ingest", "lithology", str(self.lithology)],
            ["ingest", "faults", str(self.faults)],
            ["ingest", "plutons", str(self.plutons)],
        ]


def simulate_evidence(
    folder: Path, *, seed: int, size_px: int, progress: Callable[[str], None] = lambda _line: None
) -> EvidenceSimulation:
    """Write a province below a folder; the same seed and size give the same files.

    Args:
        folder: to write to; made where it is missing.
        seed: of everything.
        size_px: edge, cells of 500 m.
        progress: takes a line at each part.

    Raises:
        UsageError: a size that makes no province, or one without room for what is planted.

    """
    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise UsageError(f"--size-px {size_px}: a province has {SMALLEST_PX} to {LARGEST_PX} cells a side")
    progress("ground")
    province, places = plant(seed, size_px)
    halo = halos(places, size_px)
    contents = make_contents(seed, province, halo)
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    progress("layers")
    elements = {
        element: _write_raster(folder / f"{element}.tif", _with_gaps(seed, element, contents[element]))
        for element in ELEMENTS
    }
    geophysics = tuple(
        _write_raster(folder / f"{name}.tif", values)
        for name, values in make_geophysics(seed, province).items()
    )
    _write_raster(folder / "truth" / "halo.tif", np.sum(list(halo.values()), axis=0).astype(np.float32))
    progress("samples and geology")
    samples = _write_samples(folder / "samples.csv", seed, province, contents[SAMPLED])
    outline, lithology = folder / "outline.geojson", folder / "lithology.geojson"
    write_geojson(outline, "Polygon", [_single(province.outline)], {"name": [AREA]}, SRID)
    _write_rocks(lithology, province)
    faults, plutons = _write_geology(folder, province)
    deposits = _write_places(folder, places)
    about = {
        "is_simulated": True,
        "seed": seed,
        "size_px": size_px,
        "cell_m": CELL_M,
        "places": dict(sorted(Counter(place.kind for place in places).items())),
        "rules": {
            "favoured_granite_m": FAVOURED_GRANITE_M,
            "favoured_fault_m": FAVOURED_FAULT_M,
            "decoy_granite_m": FREE_GRANITE_M,
            "decoy_fault_m": FREE_FAULT_M,
            "strength_log": list(STRENGTH),
            "radius_px": list(RADIUS_PX),
        },
    }
    (folder / "truth" / "facts.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    return EvidenceSimulation(
        folder, elements, geophysics, samples, lithology, faults, plutons, deposits, outline, folder / "truth"
    )


def _with_gaps(seed: int, element: str, values: FloatMap) -> FloatMap:
    """A layer with gaps of its own: about one cell in fifty, in patches, was not analysed."""
    gaps = smooth_noise(stream(seed, "evidence", len(values), "gaps", element), values.shape, 14.0) > 2.05
    return np.where(gaps, np.float32(NODATA), values).astype(np.float32)


def _write_raster(path: Path, values: FloatMap) -> Path:
    height, width = values.shape
    profile = {
        "driver": "GTiff", "dtype": "float32", "count": 1, "width": width, "height": height,
        "crs": f"EPSG:{SRID}", "transform": burnt_transform(), "nodata": NODATA, "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
    return path


def _write_samples(path: Path, seed: int, province: Province, contents: FloatMap) -> Path:
    """Samples of stream sediment at scattered places, with marks of what is below detection."""
    random = stream(seed, "evidence", len(contents), "samples")
    cells = random.permutation(np.argwhere(province.is_inside))
    cells = cells[: max(200, len(cells) // CELLS_A_SAMPLE)]
    within = random.uniform(0, 1, cells.shape)
    lines = ["x,y,Sn_ppm"]
    for (row, col), (down, across) in zip(cells.tolist(), within.tolist(), strict=True):
        content = float(contents[row, col])
        told = f"<{DETECTION_PPM:g}" if content < DETECTION_PPM else f"{content:.3f}"
        x, y = ORIGIN_M[0] + (col + across) * CELL_M, ORIGIN_M[1] - (row + down) * CELL_M
        lines.append(f"{x:.1f},{y:.1f},{told}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_rocks(path: Path, province: Province) -> None:
    """Polygons of the rocks, as a geological map has them."""
    found = [
        (shapely.geometry.shape(outline), province.names[int(code)])
        for outline, code in shapes(province.rocks, transform=burnt_transform())
    ]
    rocks: dict[str, Column] = {"rock": [rock for _, rock in found]}
    write_geojson(path, "Polygon", [outline for outline, _ in found], rocks, SRID)


def _write_geology(folder: Path, province: Province) -> tuple[Path, Path]:
    faults, plutons = folder / "faults.geojson", folder / "plutons.geojson"
    named: dict[str, Column] = {"name": [f"fault {number}" for number in range(1, len(province.faults) + 1)]}
    write_geojson(faults, "LineString", province.faults, named, SRID)
    about: dict[str, Column] = {
        "name": [f"pluton {number}" for number in range(1, len(province.plutons) + 1)],
        "lithology": [rock for _, rock in province.plutons],
    }
    write_geojson(plutons, "Polygon", [outline for outline, _ in province.plutons], about, SRID)
    return faults, plutons


def _write_places(folder: Path, places: Sequence[Place]) -> Path:
    """Deposits, and below ``truth`` all kinds of places; returns the file of the deposits."""
    deposits = folder / "deposits.geojson"
    for kind in KINDS:
        chosen = [place for place in places if place.kind == kind]
        points: list[shapely.Point] = [shapely.Point(place.x_m, place.y_m) for place in chosen]
        columns: dict[str, Column] = {
            "name": [f"{kind} {number}" for number in range(1, len(chosen) + 1)],
            "kind": [kind] * len(chosen),
            "row": np.array([place.row for place in chosen], np.int32),
            "col": np.array([place.col for place in chosen], np.int32),
            "radius_px": np.round([place.radius_px for place in chosen], 3),
        }
        write_geojson(folder / "truth" / f"{kind}.geojson", "Point", points, columns, SRID)
        if kind == "ore":
            known: dict[str, Column] = {
                "name": columns["name"],
                "commodity": ["lithium"] * len(chosen),
                "deposit_type": [DEPOSIT_TYPE] * len(chosen),
            }
            write_geojson(deposits, "Point", points, known, SRID)
    return deposits


def _single(outline: shapely.Geometry) -> shapely.Polygon:
    """The largest part of the study area."""
    parts: NDArray[np.object_] = shapely.get_parts(outline)
    return max(parts, key=lambda part: float(part.area))
