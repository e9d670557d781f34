"""Trainings of seconds on a drawn scene, as typed, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
from psycopg import Connection

import lode
from db.connection import connect
from db.labels import ewkb_hex
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.ingest_files import NORTH_UP, write_tiff

SIDE_PX, CELL_PX = 144, 12
DAY = date(2021, 6, 19)
CODES = (0, 1, 6)
QUICK = (
    "--backbone", "small", "--tile-px", "32", "--epochs", "1", "--windows", "8", "--batch", "4",
    "--device", "cpu",
)  # fmt: skip


def drawn_scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (4, height, width) of cells of three kinds of brightness, and the kind of each cell."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 3, (SIDE_PX // CELL_PX,) * 2)
    bright = np.kron(kinds, np.ones((CELL_PX, CELL_PX), int))
    pixels = rng.normal(400, 20, (4, SIDE_PX, SIDE_PX)) + 100 * np.stack([bright, 2 - bright] * 2)
    return pixels.astype(np.uint16), kinds


def cell(row: int, col: int) -> shapely.MultiPolygon:
    """A cell of a scene in EPSG:4326."""
    edge, west, north = CELL_PX * NORTH_UP.a, NORTH_UP.c, NORTH_UP.f
    square = shapely.box(
        west + col * edge, north - (row + 1) * edge, west + (col + 1) * edge, north - row * edge
    )
    to_wgs84 = pyproj.Transformer.from_crs(32645, 4326, always_xy=True)
    turned = shapely.transform(square, lambda xy: np.column_stack(to_wgs84.transform(*xy.T)))
    return shapely.MultiPolygon([turned])


def add_label(conn: Connection[Any], code: int, shape: shapely.MultiPolygon, scene_id: int | None) -> None:
    conn.execute(
        "insert into lode.label (land_class_code, geom, valid_on, scene_id)"
        " values (%s, %s::geometry, %s, %s)",
        (code, ewkb_hex(shape), DAY, scene_id),
    )


def ingest(conn: Connection[Any], folder: Path, product: str, pixels: np.ndarray, **stated: Any) -> int:
    path = write_tiff(folder / f"{product}.tif", pixels, nodata=0)
    said = {"sensor": "gf2_pms", "acquired_on": DAY, "product": product} | stated
    return ingest_scene(conn, source_file(path), Statement(**said)).scene.scene_id


def fill(url: str, folder: Path) -> None:
    """One scene of labelled cells, ``a``, into a fresh database."""
    with connect(url) as conn:
        pixels, kinds = drawn_scene(1)
        scene_id = ingest(conn, folder, "a", pixels)
        for (row, col), kind in np.ndenumerate(kinds):
            add_label(conn, CODES[kind], cell(row, col), scene_id)
        conn.commit()


@dataclass(frozen=True)
class Trial:
    """A database to train on, and a folder of which nothing but what was put there may be left."""

    url: str
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def train(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit code, standard output and error of the command, in this process."""
        self.capsys.readouterr()
        code = lode.run(["train", "segmentation", "--name", "x", *QUICK, *map(str, arguments)])
        return code, *self.capsys.readouterr()

    def refused(self, *arguments: str | Path, left: tuple[str, ...] = ()) -> str:
        """The message of a refusal that leaves no model, no weights and no other file behind."""
        code, _said, error = self.train("--checkpoint", self.folder / "run", *arguments)
        assert code == 1, error
        assert error.startswith("lode: error: ")
        assert self.stored() == (0, 0)
        assert {path.name for path in self.folder.iterdir()} <= set(left)
        return error

    def stored(self) -> tuple[int, int]:
        """Models and weights in the database."""
        with connect(self.url) as conn:
            row = conn.execute(
                "select (select count(*) from lode.model), (select count(*) from lode.model_weights)"
            ).fetchone()
        assert row is not None
        return row[0], row[1]

    @contextmanager
    def changing(self) -> Iterator[Connection[Any]]:
        with connect(self.url) as conn:
            yield conn
            conn.commit()
