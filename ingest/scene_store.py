"""A prepared scene into the database: one pass computes, looks at and stores its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, cast

import shapely
from psycopg import Connection
from rasterio.io import DatasetReader

from db.errors import UsageError
from db.labels import move_labels
from db.scenes import (
    Acquisition,
    NewScene,
    Scene,
    SceneBand,
    insert_scene,
    is_known_srid,
    reserve_scene_id,
    tile_table_of,
)
from db.sensors import Sensor
from ingest.crs import file_crs
from ingest.declaration import ValueMeaning
from ingest.figures import BandFigures, FigureSums, SceneFigures, check_observed
from ingest.footprint import footprint
from ingest.loader import load_raster
from ingest.plausibility import check_reflectance
from ingest.processing.chain import Prepared
from ingest.processing.view import tile_edge_px
from ingest.products.product import Band, PackageFile

HYPERSPECTRAL_BANDS = 30
"""From this many bands on some may be dead: they are marked and do not refuse the scene."""

Report = Callable[[str], None]
Progress = Callable[[str, int, int], None]
"""Called with a stage's name, rows done and rows in all."""


@dataclass(frozen=True)
class SceneOutcome:
    """What became of a file.

    Attributes:
        scene: the scene as the catalogue has it.
        is_new: False when the same file was there already and nothing happened.
        replaced_version: the version that was superseded; None when there was none.
        moved_labels: labels of that version that now belong to this one.
        notes: what the user should know: warping, nodata, doubts.

    """

    scene: Scene
    is_new: bool
    replaced_version: int | None
    moved_labels: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """What the catalogue is told of a scene besides its pixels.

    Attributes:
        product: name of the product.
        sensor: its instrument.
        acquired_on: day of acquisition (UTC).
        acquisition: moment and directions.
        sha256: of the file, or of the list of the package's parts.
        source_name: the file or package.
        parts: files of the package.
        metadata: what its side files say.
        declared: first step, by which the same statement about the same file is recognised.
        notes: doubts of the reader.

    """

    product: str
    sensor: Sensor
    acquired_on: date
    acquisition: Acquisition
    sha256: str
    source_name: str
    parts: Sequence[PackageFile]
    metadata: Mapping[str, Any]
    declared: Mapping[str, Any]
    notes: Sequence[str]


def digest_of(files: Sequence[PackageFile], role: str) -> str:
    """SHA-256 that stands for a part of a package: of its files' digests, wherever they lie, and its role."""
    lines = sorted(f"{file.size_bytes} {file.sha256}\n" for file in files)
    return hashlib.sha256("".join([f"{role}\n", *lines]).encode()).hexdigest()


def store_scene(
    conn: Connection[Any],
    prepared: Prepared,
    entry: Entry,
    *,
    replaces: Scene | None,
    progress: Progress,
) -> tuple[int, int, tuple[str, ...]]:
    """Compute and store a scene inside the caller's transaction.

    Returns:
        Key of the scene, how many labels moved to it from the version it replaces, and what the user should
        know.

    Raises:
        UsageError: nothing was observed, or the values cannot be what they are said to be.

    """
    view = prepared.view
    if not is_known_srid(conn, view.grid.srid):
        raise UsageError(f"{entry.source_name}: the database's PostGIS does not know EPSG:{view.grid.srid}")
    names = tuple(band.name for band in prepared.bands)
    sums = FigureSums(view.grid, names, view.nodata, prepared.clouds)
    scene_id = reserve_scene_id(conn)
    tile_px = tile_edge_px(view.band_count, view.dtype.itemsize)
    notes: list[str] = []

    def enter() -> None:
        scene = _new_scene(prepared, entry, sums.finish(), tile_px)
        insert_scene(conn, scene_id, scene, replaces=replaces)
        notes.extend(str(step["text"]) for step in scene.steps if "text" in step)

    load_raster(
        conn,
        cast(DatasetReader, view),
        parent="scene_tile",
        owner_id=scene_id,
        table=tile_table_of(scene_id),
        tile_px=tile_px,
        comment=f"Tiles of scene {entry.product}",
        progress=lambda done, total: progress("storing", done, total),
        observe=sums.add,
        before_finish=enter,
    )
    moved = take_place(conn, replaces, scene_id)
    return scene_id, moved, tuple(notes)


def _new_scene(prepared: Prepared, entry: Entry, figures: SceneFigures, tile_px: int) -> NewScene:
    view, name = prepared.view, entry.source_name
    bands, live = _without_dead_bands(prepared.bands, figures)
    check_observed(replace(figures, bands=live), name)
    meaning = ValueMeaning(prepared.level, prepared.value_offset, prepared.value_scale)
    warnings = check_reflectance(live, meaning, name, sensor=entry.sensor.key, nodata=view.nodata)
    outline = footprint(figures, view.grid, file_crs(f"EPSG:{view.grid.srid}", name), name)
    clouds = prepared.clouds
    clouded = None if clouds is None else clouds.inside(outline)
    share = None if figures.clouded_px is None else figures.clouded_px / figures.valid_px
    if share == 1:
        # Exactly: outlines that follow different edges would leave slivers that count as observed.
        clouded = outline
        warnings = (*warnings, "the whole scene lies under cloud or shadow: nothing of it counts as observed")
    steps = [
        dict(entry.declared),
        *prepared.steps,
        *({"step": "note", "text": note} for note in entry.notes),
        *_dead_band_steps(prepared.bands, bands),
        *({"step": "warning", "text": f"warning: {text}"} for text in warnings),
    ]
    return NewScene(
        product=entry.product,
        sensor_id=entry.sensor.sensor_id,
        acquired_on=entry.acquired_on,
        grid=view.grid,
        band_names=tuple(band.name for band in bands),
        dtype_name=view.dtype.name,
        nodata=view.nodata,
        value_offset=prepared.value_offset,
        value_scale=prepared.value_scale,
        processing_level=prepared.level,
        valid_fraction=figures.valid_px / figures.total_px,
        sha256=entry.sha256,
        source_name=name,
        tile_px=tile_px,
        steps=steps,
        footprint=outline,
        cloud_fraction=share,
        clouded=clouded,
        filled=_polygons(prepared.filled, clouded),
        acquisition=entry.acquisition,
        parts=[vars(file) for file in entry.parts],
        product_metadata=entry.metadata,
        bands=[
            SceneBand(band.name, band.common_name, band.center_nm, band.width_nm, band.fault)
            for band in bands
        ],
    )


def _without_dead_bands(
    bands: Sequence[Band], figures: SceneFigures
) -> tuple[tuple[Band, ...], tuple[BandFigures, ...]]:
    """Mark bands without data or with one value everywhere, where an instrument has many; list the others."""
    if len(bands) < HYPERSPECTRAL_BANDS:
        return tuple(bands), figures.bands
    marked, live = [], []
    for band, figure in zip(bands, figures.bands, strict=True):
        is_dead = figure.valid_px == 0 or figure.minimum == figure.maximum
        fault = "no data" if figure.valid_px == 0 else "one value everywhere"
        marked.append(replace(band, fault=band.fault or fault) if is_dead else band)
        if not is_dead and band.fault is None:
            live.append(figure)
    return tuple(marked), tuple(live)


def _dead_band_steps(before: Sequence[Band], after: Sequence[Band]) -> list[dict[str, Any]]:
    dead = [band.name for band, was in zip(after, before, strict=True) if band.fault and not was.fault]
    if not dead:
        return []
    text = f"{len(dead)} bands hold nothing and are marked: {', '.join(dead)}"
    return [{"step": "dead_bands", "bands": dead, "text": text}]


def _polygons(
    filled: shapely.Geometry | None, clouded: shapely.MultiPolygon | None
) -> shapely.MultiPolygon | None:
    """The filled part of what is clouded, as polygons."""
    if filled is None or clouded is None:
        return None
    common = shapely.intersection(filled, clouded)
    parts = [part for part in shapely.get_parts(common) if part.geom_type == "Polygon" and part.area > 0]
    return shapely.MultiPolygon(parts) if parts else None


def take_place(conn: Connection[Any], older: Scene | None, scene_id: int) -> int:
    """Give a scene the labels of the version it supersedes; how many labels moved."""
    return 0 if older is None else move_labels(conn, older.scene_id, scene_id)


def other_products(names: Sequence[str], product: str, name: str) -> None:
    """Refuse content that is in the database under another product name.

    Raises:
        UsageError: it is.

    """
    others = [other for other in names if other != product]
    if others:
        raise UsageError(
            f"{name}: this very content is in the database already, as product {others[0]!r}; under a "
            "second name it would stand twice in every list. To declare it anew, state that name by --product"
        )
