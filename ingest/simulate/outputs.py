"""What a simulated district hands over: each method writes one file in the form a user would bring it."""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon

from ingest.simulate.fields import ByteMap, FloatMap
from ingest.simulate.geology import Geology
from ingest.simulate.ground import CLASS_KEYS, Ground
from ingest.simulate.labels import Label, draw_labels
from ingest.simulate.layout import Site
from ingest.simulate.optics import BANDS, SUN_IRRADIANCE, Textures, digital_numbers, scene_window
from ingest.simulate.swaths import Swath
from ingest.simulate.truth import TREATED_KEYS, treated_outlines
from ingest.simulate.write import (
    RESOLUTION_M,
    Column,
    Placement,
    write_class_map,
    write_features,
    write_scene,
)

SENSOR = "gf2_pms"
CLOUD_MARGIN_M = 12.0
"""How far a product's cloud mask reaches beyond cloud and shadow."""
_SURVEYED_ON = date(2020, 10, 31)


@dataclass(frozen=True)
class WrittenScene:
    """A scene on disk, with the swath it came from."""

    product: str
    path: Path
    swath: Swath
    cloud: MultiPolygon | None
    shadow: MultiPolygon | None


@dataclass
class YearlyTruth:
    """Class maps and treated ground by year, kept until the mines' boundaries are known."""

    maps: dict[int, Path] = field(default_factory=dict)
    classes: dict[int, ByteMap] = field(default_factory=dict)
    treated: dict[int, ByteMap] = field(default_factory=dict)

    def totals(self, pixel_m2: float) -> list[dict[str, object]]:
        """Pixels and area per year and class in the whole district."""
        rows: list[dict[str, object]] = []
        for year, class_map in self.classes.items():
            counts = np.bincount(class_map.ravel(), minlength=len(CLASS_KEYS))
            rows += [
                {"year": year, "class": key, "pixels": int(n), "area_m2": int(n) * pixel_m2}
                for key, n in zip(CLASS_KEYS, counts, strict=True)
            ]
        return rows


class Writer:
    """Writes the files of one district below a folder."""

    def __init__(self, folder: Path, placement: Placement, seed: int) -> None:
        self.folder = folder
        self.placement = placement
        self.seed = seed
        self.scenes: list[WrittenScene] = []
        self.scene_facts: list[dict[str, object]] = []
        self._labels: list[tuple[int, Label]] = []

    def scene(
        self, ground: Ground, geology: Geology, plain: FloatMap, textures: Textures, swath: Swath
    ) -> None:
        """Write the scene of a swath as GeoTIFF."""
        day = f"{swath.acquired_on:%Y%m%d}"
        longitude = "87.0" if swath.side == 0 else "87.1"
        product = f"GF2_{swath.camera}_E{longitude}_N43.9_{day}_L1A{len(self.scenes) + 1:07d}"
        path = self.folder / "scenes" / f"{product}.tif"
        rows, columns = scene_window(swath)
        tags = {
            "TIFFTAG_DATETIME": f"{swath.acquired_on:%Y:%m:%d} 05:02:00",
            "ACQUIRED_ON": swath.acquired_on.isoformat(),
            "SENSOR": SENSOR,
            "SUN_AZIMUTH": f"{np.degrees(swath.sun.azimuth):.3f}",
            "SUN_ELEVATION": f"{np.degrees(swath.sun.elevation):.3f}",
            "GAIN": " ".join(map(str, swath.gain)),
        }
        write_scene(
            path,
            digital_numbers(self.seed, ground, geology, plain, textures, swath, RESOLUTION_M),
            (rows.stop - rows.start, columns.stop - columns.start),
            self.placement.transform(rows.start, columns.start),
            tags,
        )
        cloud = shadow = None
        if swath.cloud is not None:
            cloud = self.placement.on_map(swath.cloud.outline)
            shadow = self.placement.on_map(swath.cloud.shadow_outline)
        self.scenes.append(WrittenScene(product, path, swath, cloud, shadow))
        self.scene_facts.append(
            {
                "product": product,
                "acquired_on": swath.acquired_on.isoformat(),
                "sun_azimuth_deg": float(np.degrees(swath.sun.azimuth)),
                "sun_elevation_deg": float(np.degrees(swath.sun.elevation)),
                "gain": dict(zip(BANDS, swath.gain, strict=True)),
                "sun_irradiance": dict(zip(BANDS, SUN_IRRADIANCE.tolist(), strict=True)),
                "haze": swath.haze,
            }
        )

    def class_map(self, ground: Ground, year: int) -> Path:
        """Write the exact class map of a year."""
        path = self.folder / "truth" / f"classes_{year}.tif"
        write_class_map(path, ground.land_class, self.placement.transform())
        return path

    def labels(self, ground: Ground, sites: list[Site], swaths: list[Swath], year: int) -> None:
        """Draw the labels of a year; `write_labels` writes those of all years."""
        drawn = draw_labels(self.seed, ground.land_class, sites, swaths, year)
        self._labels += [(year, label) for label in drawn]

    def write_labels(self) -> Path:
        """Write all labels drawn."""
        path = self.folder / "labels.gpkg"
        product = {done.swath.acquired_on: done.product for done in self.scenes}
        labels = [label for _, label in self._labels]
        write_features(
            path,
            "label",
            "Polygon",
            [self.placement.on_map(label.outline) for label in labels],
            {
                "class": [label.land_class for label in labels],
                "year": np.array([year for year, _ in self._labels], np.int32),
                "product": [product[label.swath.acquired_on] for label in labels],
                "acquired_on": _days([label.swath.acquired_on for label in labels]),
                "interpreted_on": _days([label.interpreted_on for label in labels]),
                "interpreter": [label.interpreter for label in labels],
            },
        )
        return path

    def mines(self, sites: list[Site], boundaries: list[MultiPolygon]) -> tuple[Path, Path]:
        """Write the mines' boundaries, and their licence boundaries (simpler, and not always kept to)."""
        columns: dict[str, Column] = {
            "code": [site.code for site in sites],
            "name": [site.name for site in sites],
            "mineral": [site.plan.mineral for site in sites],
            "mining_method": [site.plan.mining_method for site in sites],
        }
        mines, licences = self.folder / "mines.gpkg", self.folder / "licences.gpkg"
        on_map = self.placement.on_map
        write_features(mines, "mine", "MultiPolygon", [on_map(outline) for outline in boundaries], columns)
        areas = [
            outline.convex_hull.simplify(0.12 * site.radius_px).buffer(-0.04 * site.radius_px * (number % 3))
            for number, (site, outline) in enumerate(zip(sites, boundaries, strict=True))
        ]
        write_features(licences, "licence", "Polygon", [on_map(area) for area in areas], columns)
        return mines, licences

    def geology(self, geology: Geology) -> tuple[Path, Path, Path]:
        """Write faults, plutons and deposits."""
        on_map = self.placement.on_map

        def source(count: int) -> dict[str, Column]:
            return {
                "source": ["simulated geological map 1:10,000"] * count,
                "mapped_on": _days([_SURVEYED_ON] * count),
            }

        faults, plutons, deposits = (
            self.folder / f"{name}.gpkg" for name in ("faults", "plutons", "deposits")
        )
        write_features(
            faults,
            "fault",
            "LineString",
            [on_map(fault.line) for fault in geology.faults],
            {
                "name": [fault.name for fault in geology.faults],
                "kind": [fault.kind for fault in geology.faults],
                **source(len(geology.faults)),
            },
        )
        write_features(
            plutons,
            "pluton",
            "Polygon",
            [on_map(pluton.outline) for pluton in geology.plutons],
            {
                "name": [pluton.name for pluton in geology.plutons],
                "lithology": [pluton.lithology for pluton in geology.plutons],
                **source(len(geology.plutons)),
            },
        )
        write_features(
            deposits,
            "deposit",
            "Point",
            [on_map(deposit.point) for deposit in geology.deposits],
            {
                "name": [deposit.name for deposit in geology.deposits],
                "mineral": [deposit.mineral for deposit in geology.deposits],
                "size": [deposit.size for deposit in geology.deposits],
                **source(len(geology.deposits)),
            },
        )
        return faults, plutons, deposits

    def treated(self, treated: dict[int, ByteMap], sites: list[Site], mine: NDArray[np.int32]) -> Path:
        """Write the exact outlines of treated ground of each year (treated in that year or before)."""
        path = self.folder / "truth" / "treated.gpkg"
        found = [(year, *patch) for year, ground in treated.items() for patch in treated_outlines(ground)]
        inside = [outline.representative_point() for _, _, outline in found]
        numbers = [int(mine[int(point.y), int(point.x)]) for point in inside]
        write_features(
            path,
            "treated",
            "Polygon",
            [self.placement.on_map(outline) for _, _, outline in found],
            {
                "year": np.array([year for year, _, _ in found], np.int32),
                "class": [TREATED_KEYS[code] for _, code, _ in found],
                "kind": ["treated"] * len(found),
                "mine": [sites[number - 1].code if number else "" for number in numbers],
            },
        )
        return path

    def cloud_mask(self, scene: WrittenScene) -> Path | None:
        """Write the cloud mask of a scene as products carry it: outlines a few pixels generous."""
        hidden = [outline for outline in (scene.cloud, scene.shadow) if outline is not None]
        if not hidden:
            return None
        path = self.folder / "scenes" / f"{scene.product}_clouds.gpkg"
        generous = shapely.union_all(hidden).buffer(CLOUD_MARGIN_M)
        parts = list(generous.geoms) if isinstance(generous, MultiPolygon) else [generous]
        write_features(path, "clouds", "Polygon", parts, {"product": [scene.product] * len(parts)})
        return path

    def clouds(self) -> Path:
        """Write the exact outlines of clouds and cloud shadows."""
        path = self.folder / "truth" / "clouds.gpkg"
        rows = [
            (done.product, kind, outline)
            for done in self.scenes
            for kind, outline in (("cloud", done.cloud), ("shadow", done.shadow))
            if outline is not None
        ]
        write_features(
            path,
            "cloud",
            "MultiPolygon",
            [outline for _, _, outline in rows],
            {"product": [product for product, _, _ in rows], "kind": [kind for _, kind, _ in rows]},
        )
        return path


def _days(days: list[date]) -> NDArray[np.datetime64]:
    """Dates as a column that GeoPackage stores as dates."""
    return np.array(days, dtype="datetime64[D]")
