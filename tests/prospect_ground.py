"""Ground to prospect in: a small hyperspectral scene with faults, plutons and deposits, and a study area."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from affine import Affine
from numpy.typing import NDArray
from psycopg import Connection

from db.evidence import EvidenceArea, EvidenceLayer, NewLayer, insert_area, insert_layer
from db.geology import insert_features
from db.raster import Grid, RasterWriter
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.ingest_files import write_tiff

SIDE, CELL_M = 150, 30.0
WEST, NORTH = 500_000.0, 4_860_000.0
GRID = Grid(32645, WEST, NORTH, CELL_M, CELL_M, SIDE, SIDE)
BANDS = ("B200", "B050", "B070", "B190", "B185", "B210", "B066")
"""As they are stored: B050 lies in no window; where no cloud is B190 has one value only, B210 none."""
BY_WAVELENGTH = ("B066", "B070", "B185", "B200")
OFFSET, SCALE = -100.0, 1e-4
COLLAR_PX = 6
CLOUD = (0, SIDE - 8, 5, SIDE)
"""Top, left, bottom and right of a cloud, cells."""
PLACES = tuple((row, col) for row in (20, 48, 76, 104, 132) for col in (20, 50, 80, 110, 137))
"""Row and column of the deposits; every second one is of Li, the others of Be."""


def at(row: float, col: float) -> tuple[float, float]:
    """Longitude and latitude of a place on the grid, in cells from its upper left corner."""
    to_lonlat = pyproj.Transformer.from_crs(GRID.srid, 4326, always_xy=True)
    lon, lat = to_lonlat.transform(WEST + col * CELL_M, NORTH - row * CELL_M)
    return lon, lat


def box(top: float, left: float, bottom: float, right: float) -> shapely.MultiPolygon:
    """A rectangle of the grid, in cells, as a shape of EPSG:4326."""
    corners = [at(top, left), at(top, right), at(bottom, right), at(bottom, left)]
    return shapely.MultiPolygon([shapely.Polygon(corners)])


def stored_pixels() -> NDArray[np.uint16]:
    """(bands, height, width) of the scene's file; 0 is no data."""
    rng = np.random.default_rng(4)
    pixels = rng.integers(500, 4000, (len(BANDS), SIDE, SIDE)).astype(np.uint16)
    clouded = np.zeros((SIDE, SIDE), bool)
    clouded[CLOUD[0] : CLOUD[2], CLOUD[1] : CLOUD[3]] = True
    pixels[BANDS.index("B190"), ~clouded] = 777
    pixels[BANDS.index("B210"), ~clouded] = 0
    pixels[:, :, :COLLAR_PX] = 0
    pixels[BANDS.index("B185"), 40:43, 60:64] = 0
    return pixels


def add_scene(
    conn: Connection[Any], folder: Path, product: str = "scene", sensor: str = "enmap_hsi", **fields: Any
) -> int:
    """The scene; other fields of the declaration go before its own."""
    pixels = fields.pop("pixels", None)
    path = write_tiff(
        folder / f"{product}.tif",
        stored_pixels() if pixels is None else pixels,
        transform=Affine(CELL_M, 0, WEST, 0, -CELL_M, NORTH),
        nodata=0,
    )
    stated = {
        "sensor": sensor, "acquired_on": date(2022, 7, 1), "product": product, "bands": BANDS,
        "value_offset": OFFSET, "value_scale": SCALE, "processing_level": "surface_reflectance",
    } | fields  # fmt: skip
    scene = ingest_scene(conn, source_file(path), Statement(**stated)).scene
    conn.execute(
        "update lode.scene set clouded = st_geomfromwkb(%s, 4326) where scene_id = %s",
        (shapely.to_wkb(box(*CLOUD)), scene.scene_id),
    )
    return scene.scene_id


def add_source(conn: Connection[Any], kind: str) -> int:
    row = conn.execute(
        "insert into lode.feature_source (kind, name, sha256, options_digest, feature_count)"
        " values (%s, %s, md5(random()::text), '-', 1) returning feature_source_id",
        (kind, f"{kind}.gpkg"),
    ).fetchone()
    assert row is not None
    return int(row[0])


def add_fault(conn: Connection[Any], *points: tuple[float, float]) -> None:
    """A fault through places (row, column)."""
    line = shapely.MultiLineString([[at(*point) for point in points]])
    insert_features(conn, "faults", [(line, (None, None))], source_id=add_source(conn, "faults"))


def add_pluton(conn: Connection[Any], shape: shapely.MultiPolygon) -> None:
    insert_features(conn, "plutons", [(shape, (None, None, None))], source_id=add_source(conn, "plutons"))


def add_geology(conn: Connection[Any]) -> None:
    """Two faults and a pluton."""
    add_fault(conn, (0, 30), (150, 60))
    add_fault(conn, (70, 0), (80, 150))
    add_pluton(conn, box(100, 100, 140, 145))


def add_deposits(conn: Connection[Any], places: Any = PLACES) -> None:
    """Points in the middle of cells, named by row and column."""
    insert_features(
        conn,
        "deposits",
        [
            (
                shapely.Point(at(row + 0.5, col + 0.5)),
                (f"{row} {col}", ("Li", "Be")[number % 2], "pegmatite"),
            )
            for number, (row, col) in enumerate(places)
        ],
        source_id=add_source(conn, "deposits"),
    )


def add_body(conn: Connection[Any], row: float, col: float, body: shapely.MultiPolygon) -> None:
    """A deposit with its mapped outline."""
    conn.execute(
        "insert into lode.deposit (name, commodity, geom, body) values ('body', 'Li',"
        " st_geomfromwkb(%s, 4326), st_geomfromwkb(%s, 4326))",
        (shapely.to_wkb(shapely.Point(at(row, col))), shapely.to_wkb(body)),
    )


def add_area(conn: Connection[Any], name: str = "area", grid: Grid = GRID) -> EvidenceArea:
    """A study area that leaves out ten columns of its grid in the east."""
    return insert_area(conn, name, grid, box(0, 0, SIDE, SIDE - 10))


def add_layer(
    conn: Connection[Any],
    area: EvidenceArea,
    name: str,
    values: NDArray[np.float32],
    *,
    replaces: EvidenceLayer | None = None,
) -> EvidenceLayer:
    """A layer of an area; NaN: no value."""
    new = NewLayer(
        *(area.evidence_area_id, name, "geochemistry", None, "ppm"),
        *(f"{name}.tif", "00", "nearest", 30.0, 0.0, 0.0, 1.0),
    )
    layer = insert_layer(conn, new, replaces=replaces)
    writer = RasterWriter(
        conn,
        parent="evidence_tile",
        owner_id=layer.evidence_layer_id,
        table=layer.tile_table,
        grid=area.grid,
        dtype=np.float32,
        band_count=1,
        nodata=float("nan"),
    )
    writer.write_rows(values[None])
    writer.finish()
    return layer


def layer_values(seed: int) -> NDArray[np.float32]:
    """(height, width) contents, with a hole."""
    values = np.random.default_rng(seed).lognormal(3, 0.5, (SIDE, SIDE)).astype(np.float32)
    values[60:62, 10:15] = np.nan
    return values


def fill(conn: Connection[Any], folder: Path) -> None:
    """The scene, geology, deposits, and the area with two layers."""
    add_scene(conn, folder)
    add_geology(conn)
    add_deposits(conn)
    area = add_area(conn)
    add_layer(conn, area, "Li", layer_values(1))
    add_layer(conn, area, "Be", layer_values(2))
    conn.commit()
