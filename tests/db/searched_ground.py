"""Small ground to search for ore: scenes and a study area with what was put there, geology, and networks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
import torch
from numpy.typing import NDArray
from psycopg import Connection

from db.evidence import NewLayer, insert_area, insert_layer
from db.raster import Grid, RasterWriter
from db.registry import NewModel, store_model
from db.scenes import NewScene, SceneBand, insert_scene, reserve_scene_id, tile_table_of
from inference.prospect import apply
from inference.prospect.channels import Channel
from inference.prospect.networks import build_prospect_network
from inference.prospect.normalise import training_scales
from inference.prospect.trained import Progress, load_prospect_model
from inference.weights import weights_to_bytes

Floats = NDArray[np.float32]

SRID = 32644
WEST, NORTH = 500_000.0, 3_980_000.0
PIXEL_M, HEIGHT, WIDTH, PATCH_PX = 30.0, 40, 60, 10
GRID = Grid(SRID, WEST, NORTH, PIXEL_M, PIXEL_M, WIDTH, HEIGHT)
CENTERS_NM = (785.0, 830.0, 900.0, 2165.0, 2205.0, 2245.0)
BANDS = tuple(SceneBand(f"B{place}", None, center, 12.0) for place, center in enumerate(CENTERS_NM))
ORE = (slice(10, 20), slice(20, 35))
"""Rows and columns where beryl absorbs at 830 nm; four cells of 5 px by three."""
DISTANCES = ("fault_distance_m", "pluton_distance_m")


def square(col: float, row: float, cols: float = 1, rows: float = 1) -> shapely.Polygon:
    """Ground of the scene by its pixels, in the plane of its grid."""
    west, north = WEST + col * PIXEL_M, NORTH - row * PIXEL_M
    return shapely.box(west, north - rows * PIXEL_M, west + cols * PIXEL_M, north)


def to_wgs84(plane: shapely.Geometry, srid: int = SRID) -> shapely.Geometry:
    transformer = pyproj.Transformer.from_crs(srid, 4326, always_xy=True)
    return shapely.transform(plane, lambda xy: np.column_stack(transformer.transform(*xy.T)))


def multi(shape: shapely.Geometry) -> shapely.MultiPolygon:
    return shapely.MultiPolygon(list(shapely.get_parts(shape)))


def spectra() -> Floats:
    """Reflectance (bands, height, width), with noise; a quarter of the light at 830 nm is gone over ore."""
    continuum = np.array([0.26, 0.28, 0.31, 0.40, 0.395, 0.39])[:, np.newaxis, np.newaxis]
    noise = np.random.default_rng(3).normal(1, 0.02, (len(CENTERS_NM), HEIGHT, WIDTH))
    values = continuum * noise
    values[1][ORE] *= 0.75
    return values.astype(np.float32)


def add_scene(
    conn: Connection[Any],
    product: str,
    values: Floats | None = None,
    *,
    bands: Sequence[SceneBand] = BANDS,
    grid: Grid = GRID,
    level: str = "surface_reflectance",
    clouded: shapely.Geometry | None = None,
) -> int:
    """A scene of reflectance times 10,000; NaN is stored as nodata. ``clouded`` in the plane of the grid."""
    pixels = spectra() if values is None else values
    stored = np.where(np.isnan(pixels), 0, np.round(pixels * 10_000)).astype(np.uint16)
    scene_id = reserve_scene_id(conn)
    row = conn.execute("select sensor_id from lode.sensor order by sensor_id limit 1").fetchone()
    assert row is not None
    whole = shapely.box(
        grid.origin_x, grid.y_of_row(grid.height_px), grid.x_of_col(grid.width_px), grid.origin_y
    )
    scene = NewScene(
        product=product,
        sensor_id=row[0],
        acquired_on=date(2020, 11, 27),
        grid=grid,
        band_names=tuple(band.name for band in bands),
        dtype_name="uint16",
        nodata=0.0,
        value_offset=0.0,
        value_scale=1e-4,
        processing_level=level,
        valid_fraction=1.0,
        sha256=hashlib.sha256(product.encode()).hexdigest(),
        source_name="drawn",
        tile_px=64,
        steps=(),
        footprint=multi(to_wgs84(whole, grid.srid)),
        clouded=None if clouded is None else multi(to_wgs84(clouded, grid.srid)),
        bands=bands,
    )
    insert_scene(conn, scene_id, scene, replaces=None)
    writer = RasterWriter(
        conn,
        parent="scene_tile",
        owner_id=scene_id,
        table=tile_table_of(scene_id),
        grid=grid,
        dtype=np.uint16,
        band_count=len(bands),
        nodata=0.0,
        tile_px=64,
    )
    writer.write_rows(stored)
    writer.finish()
    return scene_id


def add_area(
    conn: Connection[Any],
    name: str,
    layers: Mapping[str, Floats],
    *,
    elements: Mapping[str, str] = {},
    judged: shapely.Geometry | None = None,
    grid: Grid = GRID,
) -> int:
    """A study area with layers in ppm; ``judged`` in the plane of the grid, by default all of it."""
    shape = square(0, 0, WIDTH, HEIGHT) if judged is None else judged
    area = insert_area(conn, name, grid, multi(to_wgs84(shape, grid.srid)))
    for layer, values in layers.items():
        stored = insert_layer(
            conn,
            NewLayer(
                area.evidence_area_id,
                layer,
                "geochemistry",
                elements.get(layer),
                "ppm",
                "drawn",
                hashlib.sha256(values.tobytes()).hexdigest(),
                "none",
                PIXEL_M,
                0.0,
                0.0,
                1.0,
            ),
        )
        writer = RasterWriter(
            conn,
            parent="evidence_tile",
            owner_id=stored.evidence_layer_id,
            table=stored.tile_table,
            grid=grid,
            dtype=np.float32,
            band_count=1,
            nodata=float("nan"),
        )
        writer.write_rows(values[np.newaxis].astype(np.float32))
        writer.finish()
    return area.evidence_area_id


def add_feature(conn: Connection[Any], table: str, plane: shapely.Geometry, name: str | None = None) -> int:
    """A fault, pluton or deposit, drawn in the plane of the scene's grid."""
    query = (
        f"insert into lode.{table} (name, geom) values (%s, st_geomfromwkb(%s, 4326)) returning {table}_id"
    )
    row = conn.execute(query.encode(), (name, shapely.to_wkb(to_wgs84(plane)))).fetchone()
    assert row is not None
    return int(row[0])


def add_geology(conn: Connection[Any]) -> None:
    """A fault 300 m west of the scene, a pluton on its eastern edge, a deposit south of the ore."""
    fault = shapely.MultiLineString([[(WEST - 300, NORTH + 5000), (WEST - 300, NORTH - 5000)]])
    add_feature(conn, "fault", fault)
    add_feature(conn, "pluton", multi(square(WIDTH - 4, -50, 100, 140)))
    add_feature(conn, "deposit", shapely.Point(WEST + 27 * PIXEL_M, NORTH - 22 * PIXEL_M), "Beryl Hill")


def channels_of(bands: Sequence[SceneBand] = BANDS, geology: Sequence[str] = DISTANCES) -> list[Channel]:
    spectral = [Channel(band.name, "spectral", band.center_nm, band.width_nm) for band in bands]
    return [*spectral, *(Channel(name, "geology") for name in geology)]


def add_model(
    conn: Connection[Any],
    name: str,
    channels: Sequence[Channel],
    values: Floats,
    *,
    level: str | None = "surface_reflectance",
    elements: Mapping[str, str] = {},
    evidence: Mapping[str, Mapping[str, str]] = {},
    task: str = "prospect",
    threshold: float = 0.5,
) -> int:
    """A network with random weights, whose scales are those of ``values`` (channels, height, width)."""
    rows, cols = (each.ravel() * PATCH_PX for each in np.indices((HEIGHT // PATCH_PX, WIDTH // PATCH_PX)))
    names = [channel.name for channel in channels]
    scales = training_scales(values, rows, cols, PATCH_PX, names)
    torch.manual_seed(5)
    options = {"hidden": 8}
    network = build_prospect_network("gcn_residual", in_channels=len(channels), patch_px=PATCH_PX, **options)
    model = NewModel(
        name=name,
        task=task,
        architecture="gcn_residual",
        options=options,
        class_codes=(0, 1),
        mapped_codes=(0, 1),
        band_names=tuple(names),
        resolution_m=PIXEL_M,
        tile_px=PATCH_PX,
        normalisation=scales.as_json(),
        training={
            "channels": [channel.as_json() for channel in channels],
            "threshold": threshold,
            "processing_level": level,
            "elements": dict(elements),
            "evidence": dict(evidence),
            "geology": {"bands": list(DISTANCES), "proximity_m": 1000.0, "density_radius_m": 2000.0},
        },
        history=[],
        metrics={},
        versions={},
        weights=weights_to_bytes(network),
    )
    return store_model(conn, model)


def training_values() -> Floats:
    """What the network of the scenes was trained on: their spectra, and distances of a plausible spread."""
    rows, cols = np.indices((HEIGHT, WIDTH), np.float32)
    distances = np.stack([300 + cols * PIXEL_M, np.maximum(0, (WIDTH - 4 - cols) * PIXEL_M) + rows])
    return np.concatenate([spectra(), distances.astype(np.float32)])


@dataclass(frozen=True)
class DarkScorer:
    """Calls ore what is dark at a channel: the share of a patch's cells that lie far below the mean."""

    channel: int = 1

    def patch_probabilities(self, values: Floats) -> Floats:
        raise NotImplementedError

    def at(self, values: Floats, rows: NDArray[np.int64], cols: NDArray[np.int64], patch_px: int) -> Floats:
        raise NotImplementedError

    def ground(
        self,
        values: Floats,
        is_valid: NDArray[np.bool_],
        patch_px: int,
        stride_px: int,
        progress: Progress | None,
    ) -> Floats:
        dark = np.lib.stride_tricks.sliding_window_view(values[self.channel] < -1, (patch_px, patch_px))
        full = np.lib.stride_tricks.sliding_window_view(is_valid, (patch_px, patch_px))
        scores = dark.mean(axis=(2, 3)).astype(np.float32)
        scores[full.mean(axis=(2, 3)) < 0.9] = np.nan
        if progress is not None:
            progress(1.0)
        return scores[::stride_px, ::stride_px]

    def as_bytes(self) -> bytes:
        raise NotImplementedError


def answer_by_rule(monkeypatch: pytest.MonkeyPatch, channel: int = 1) -> None:
    """Networks that search ground call ore what is dark at a channel, see `DarkScorer`."""

    def load(*arguments: Any) -> Any:
        return replace(load_prospect_model(*arguments), scorer=DarkScorer(channel))

    monkeypatch.setattr(apply, "load_prospect_model", load)


def finer(grid: Grid, factor: float) -> Grid:
    """The same ground with cells of another size."""
    return replace(grid, resolution_x=grid.resolution_x * factor, resolution_y=grid.resolution_y * factor)


def rows(conn: Connection[Any], query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query finds, with no transaction left open."""
    found = conn.execute(query.encode(), parameters).fetchall()
    conn.rollback()
    return found


def fill(conn: Connection[Any]) -> None:
    """A scene called ``home``, geology, and the network ``net``."""
    add_scene(conn, "home")
    add_geology(conn)
    add_model(conn, "net", channels_of(), training_values())
    conn.commit()
