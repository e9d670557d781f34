"""Scene files that are refused leave nothing behind."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from db.errors import UsageError
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.db.ingested_scenes import DAY, ingest, leftovers
from tests.ingest_files import some_pixels, write_tiff


def spoilt(path: Path) -> Path:
    """Damage the last block, so that reading fails in the middle."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - len(data) // 4])
    return path


def refused_files(folder: Path) -> list[tuple[Path, dict[str, Any], str]]:
    constant = some_pixels()
    constant[3] = 9
    good = some_pixels()
    return [
        (
            spoilt(write_tiff(folder / "a.tif", some_pixels(4, 900, 900), compress="deflate")),
            {},
            "cannot be read",
        ),
        (spoilt(write_tiff(folder / "b.tif", some_pixels(4, 900, 900))), {}, "cannot be read"),
        (write_tiff(folder / "c.tif", np.zeros((4, 40, 50), "uint16"), nodata=0), {}, "nothing observed"),
        (write_tiff(folder / "d.tif", constant), {}, "band nir is constant"),
        (write_tiff(folder / "e.tif", good[:3]), {}, "nothing says which"),
        (
            write_tiff(folder / "f.tif", good),
            {"sensor": "landsat"},
            "'landsat' is known; there are: enmap_hsi",
        ),
        (write_tiff(folder / "g.tif", good), {"nodata": -1.0}, "cannot occur"),
        (write_tiff(folder / "h.tif", good.astype("complex64")), {}, "cannot be stored"),
        (write_tiff(folder / "i.tif", good, crs=None), {}, "no coordinate reference system"),
        (write_tiff(folder / "j.tif", good), {"product": ""}, "product name is empty"),
        (
            write_tiff(folder / "k.tif", good, descriptions=["B02", "B03", "B04", "B08"]),
            {"sensor": "sentinel2_msi", "acquired_on": date(2022, 2, 1)},
            "--offset",
        ),
        (
            write_tiff(folder / "l.tif", good[:1].astype("uint8"), photometric="palette"),
            {"sensor": "gf2_pan"},
            "colour table",
        ),
    ]


def test_nothing_is_left_of_what_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    before = leftovers(conn)
    for path, fields, reason in refused_files(tmp_path):
        with pytest.raises(UsageError, match=reason):
            ingest(conn, path, **fields)
        conn.rollback()
        assert leftovers(conn) == before, path


def test_a_file_that_changes_during_the_load_is_not_stored(
    conn: Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ingest.scene

    path = write_tiff(tmp_path / "x.tif", some_pixels())
    load = ingest.scene.load_raster

    def slow_load(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        with path.open("ab") as stream:
            stream.write(b"more")
        return loaded

    monkeypatch.setattr(ingest.scene, "load_raster", slow_load)
    before = leftovers(conn)
    with pytest.raises(UsageError, match="changed while it was read"):
        ingest_scene(conn, source_file(path), Statement("gf2_pms", DAY, "scene"))
    conn.rollback()
    assert leftovers(conn) == before
