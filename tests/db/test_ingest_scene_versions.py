"""The same scene again, declared otherwise, with other content, and several times at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import Connection

from db.connection import connect
from db.errors import RetryError, UsageError
from db.locks import hold
from db.scenes import list_scenes, scene_by_id
from tests.catalogue_rows import add_mine, add_model, publish_drawing
from tests.db.ingested_scenes import ingest, leftovers, pixels_of
from tests.grids import cells
from tests.ingest_files import some_pixels, write_tiff


def test_the_same_file_again_changes_nothing(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    first = ingest(conn, path)
    conn.commit()
    before = leftovers(conn)
    again = ingest(conn, path, value_offset=0.0, value_scale=1.0)  # the defaults, said aloud
    assert not again.is_new
    assert again.scene == first.scene
    copied = write_tiff(tmp_path / "copy.tif", some_pixels())
    assert copied.read_bytes() == path.read_bytes()
    assert not ingest(conn, copied).is_new
    assert leftovers(conn) == before


@pytest.mark.parametrize(
    "change",
    [
        {"value_offset": -10.0},
        {"value_scale": 0.1},
        {"acquired_on": date(2021, 6, 20)},
        {"processing_level": "radiance"},
        {"bands": ("nir", "red", "green", "blue")},
        {"nodata": 7.0},
        {"sensor": "gf7_mux"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_declaration_is_a_new_version(
    conn: Connection[Any], tmp_path: Path, change: dict[str, Any]
) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    first = ingest(conn, path)
    second = ingest(conn, path, **change)
    conn.commit()  # the reference to the newer version is checked here
    assert (second.scene.version, second.replaced_version) == (2, 1)
    assert scene_by_id(conn, first.scene.scene_id).superseded_by == second.scene.scene_id
    assert [scene.version for scene in list_scenes(conn)] == [2]
    # Back to the first declaration is a third version, not nothing.
    third = ingest(conn, path)
    assert (third.scene.version, third.is_new) == (3, True)


def test_other_content_under_the_same_name_is_a_new_version(conn: Connection[Any], tmp_path: Path) -> None:
    first = ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1)))
    newer = write_tiff(tmp_path / "b.tif", some_pixels(seed=2))
    second = ingest(conn, newer)
    conn.commit()
    assert second.scene.version == 2
    assert np.array_equal(pixels_of(conn, second.scene), some_pixels(seed=2))
    # The old pixels stay readable for whoever follows an old run.
    assert np.array_equal(pixels_of(conn, scene_by_id(conn, first.scene.scene_id)), some_pixels(seed=1))


def test_the_same_content_under_another_name_is_refused(conn: Connection[Any], tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels())
    ingest(conn, path, "first")
    with pytest.raises(UsageError, match="in the database already, as product 'first'"):
        ingest(conn, path, "second")


def test_superseding_takes_the_old_versions_areas_with_it(conn: Connection[Any], tmp_path: Path) -> None:
    drawing = """
        pppp
        vvvv
    """
    old = ingest(conn, write_tiff(tmp_path / "a.tif", some_pixels(seed=1))).scene.scene_id
    add_mine(conn, "M1", cells(drawing, "pv"))
    publish_drawing(conn, old, add_model(conn, "net"), 2021, drawing)
    label = (
        "insert into lode.label (land_class_code, geom, valid_on, scene_id)"
        " select 6, st_multi(boundary), '2021-06-19', %s from lode.mine"
    )
    conn.execute(label, (old,))
    assert conn.execute("select count(*) from lode.mine_area where area_m2 > 0").fetchone() == (2,)
    outcome = ingest(conn, write_tiff(tmp_path / "b.tif", some_pixels(seed=2)))
    conn.commit()
    assert outcome.moved_labels == 1
    assert conn.execute("select scene_id from lode.label").fetchone() == (outcome.scene.scene_id,)
    assert conn.execute("select count(*) from lode.mine_area where area_m2 > 0").fetchone() == (0,)


def at_once(database_url: str, jobs: Sequence[Callable[[Connection[Any]], Any]]) -> list[Any]:
    """Run jobs on connections of their own, started together; results or exceptions, in order."""
    results: list[Any] = [None] * len(jobs)
    barrier = threading.Barrier(len(jobs))

    def work(index: int) -> None:
        with connect(database_url) as connection:
            barrier.wait()
            try:
                results[index] = jobs[index](connection)
                connection.commit()
            except Exception as error:
                connection.rollback()
                results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_two_ingests_of_one_file_at_once_store_it_once(database_url: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(4, 600, 600))
    results = at_once(database_url, [lambda conn: ingest(conn, path).is_new] * 3)
    assert sorted(results) == [False, False, True]
    with connect(database_url) as conn:
        assert len(list_scenes(conn)) == 1


def test_two_names_for_one_file_at_once_store_one(database_url: str, tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "x.tif", some_pixels(4, 600, 600))
    results = at_once(
        database_url,
        [lambda conn: ingest(conn, path, "a").is_new, lambda conn: ingest(conn, path, "b").is_new],
    )
    assert results.count(True) == 1
    assert sum(isinstance(result, UsageError) for result in results) == 1


def test_ingests_of_different_scenes_run_side_by_side(database_url: str, tmp_path: Path) -> None:
    paths = [write_tiff(tmp_path / f"{seed}.tif", some_pixels(4, 500, 500, seed=seed)) for seed in range(4)]
    jobs = [lambda conn, path=path: ingest(conn, path, path.stem).scene.version for path in paths]
    assert at_once(database_url, jobs) == [1, 1, 1, 1]


def test_waiting_for_another_ingest_is_said_and_ends(database_url: str, conn: Connection[Any]) -> None:
    hold(conn, "scene product x", pytest.fail)
    said: list[str] = []
    with connect(database_url) as other, pytest.raises(RetryError, match="scene product x"):
        hold(other, "scene product x", said.append, wait_s=1)
    assert said == ["another process works on scene product x: waiting for it"]
