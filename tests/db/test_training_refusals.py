"""What `lode train segmentation` refuses on a database: a plain message, no row, no stray file."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
import shapely
import torch
from psycopg import Connection
from safetensors.torch import save_file

import lode
from db.connection import connect
from db.embedded import Cluster
from db.labels import ewkb_hex
from db.registry import model_by_name
from inference.networks import build_network
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.conftest import copied_database
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


@pytest.fixture(scope="module")
def drawn(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database with one scene of labelled cells, ``a``."""
    name = "lode_test_refusals"
    cluster.create_database(name, template=template_database)
    with connect(cluster.url(name)) as conn:
        pixels, kinds = drawn_scene(1)
        scene_id = ingest(conn, tmp_path_factory.mktemp("drawn"), "a", pixels)
        for (row, col), kind in np.ndenumerate(kinds):
            add_label(conn, CODES[kind], cell(row, col), scene_id)
        conn.commit()
    yield name
    cluster.drop_database(name)


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


@pytest.fixture
def trial(
    cluster: Cluster, drawn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Trial]:  # fmt: skip
    with copied_database(cluster, drawn) as url:
        monkeypatch.setenv("LODE_DATABASE_URL", url)
        folder = tmp_path / "left"
        folder.mkdir()
        yield Trial(url, folder, capsys)


@pytest.fixture
def untouched(
    cluster: Cluster, drawn: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Trial:  # fmt: skip
    """The shared database itself, for refusals, which write nothing: they find it as the ones before them."""
    monkeypatch.setenv("LODE_DATABASE_URL", cluster.url(drawn))
    folder = tmp_path / "left"
    folder.mkdir()
    return Trial(cluster.url(drawn), folder, capsys)


OUTSIDE = "st_translate(geom, 1, 0)"  # a degree to the east


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ("delete from lode.label", (), "none of the 1 scenes has labels: bring some with"),
        ("delete from lode.label", ("--scene", "a"), "no labels hold for a: bring some with"),
        (f"update lode.label set geom = {OUTSIDE}, scene_id = null", (), "none of the 1 scenes has labels"),
        (f"update lode.label set geom = {OUTSIDE}", (), "covers a pixel with data of a: check where"),
        ("update lode.label set valid_on = '2020-12-31', scene_id = null", (), "none of the 1 scenes has"),
        ("update lode.label set land_class_code = 8", (), "no label of a class that networks know"),
        ("update lode.label set land_class_code = 6", (), "at least two classes in its blocks, there are: 6"),
        ("delete from lode.label where label_id > 1", (), "at least two classes"),
    ],
)
def test_labels_that_do_not_suffice(
    trial: Trial, change: str, arguments: tuple[str, ...], message: str
) -> None:
    with trial.changing() as conn:
        conn.execute(change)
    assert message in trial.refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bands", "nir,swir"), "not every scene has the bands swir (a: blue, green, red, nir)"),
        (("--bands", "nir,nir"), "a band is named twice in --bands nir,nir"),
        (("--scene", "b"), "there is no scene 'b'"),
        (("--block-m", "20000"), "train with a smaller --block-m"),
        (("--tile-px", "40"), "tile_px is 40: it must be a multiple of 16"),
        (("--tile-px", "16"), "tile_px is 16: it must be at least 32"),
        (("--batch", "1"), "batch_size is 1: it must be at least 2"),
        (("--lr", "nan"), "learning_rate is nan: it must be positive"),
        (("--split-seed", "-1"), "split_seed is -1: it must be at least 0"),
        (("--samples", "s"), "no sample set is called 's': there is none yet"),
        (("--samples", "s", "--scene", "a"), "give either --samples or --scene"),
    ],
)
def test_what_was_asked_for_cannot_be(untouched: Trial, arguments: tuple[str, ...], message: str) -> None:
    assert message in untouched.refused(*arguments)


def test_labels_where_the_scene_has_no_data(trial: Trial, tmp_path: Path) -> None:
    pixels, _kinds = drawn_scene(2)
    pixels[:, :, : SIDE_PX // 2] = 0
    with trial.changing() as conn:
        scene_id = ingest(conn, tmp_path, "half", pixels)
        for number in range(6):
            add_label(conn, CODES[number % 3], cell(2 * number, 1), scene_id)
    assert "covers a pixel with data of half" in trial.refused("--scene", "half")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {
                "sensor": "sentinel2_msi",
                "bands": ("B02", "B03", "B04", "B08"),
                "processing_level": "digital_number",
            },
            "the scenes share no band (a: blue, green, red, nir; b: B02, B03, B04, B08)",
        ),
        ({"processing_level": "radiance"}, "scene a holds digital_number, scene b holds radiance"),
    ],
)
def test_scenes_that_do_not_go_together(
    trial: Trial, tmp_path: Path, stated: dict[str, Any], message: str
) -> None:
    with trial.changing() as conn:
        scene_id = ingest(conn, tmp_path, "b", drawn_scene(2)[0], **stated)
        add_label(conn, 6, cell(0, 0), scene_id)
    assert message in trial.refused()


def test_a_loss_that_is_no_number_names_the_sample(untouched: Trial) -> None:
    error = untouched.refused("--lr", "1e30", "--epochs", "3", left=("run.lock",))
    assert "loss became" in error
    assert "scene a, row " in error
    assert "smaller --lr" in error


def weights_of(name: str, bands: int = 4, backbone: str = "small") -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return build_network(name, in_channels=bands, backbone=backbone).state_dict()


def of_torch(path: Path) -> None:
    torch.save(weights_of("deeplabv3plus"), path)


def of_unet(path: Path) -> None:
    save_file(weights_of("unet"), path)


def of_a_larger_backbone(path: Path) -> None:
    save_file(weights_of("se_cot_deeplabv3plus", backbone="mobilenet_v2"), path)


def with_nan(path: Path) -> None:
    state = weights_of("se_cot_deeplabv3plus")
    state["aspp.project.0.weight"][0, 0] = torch.nan
    save_file(state, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (of_torch, "is no safetensors file"),
        (of_unet, "holds the weights of another network than this DeepLabV3Plus"),
        (of_a_larger_backbone, "holds the weights of another network than this DeepLabV3Plus"),
        (with_nan, "aspp.project.0.weight: 1 of"),
        (None, "cannot be read: No such file"),
    ],
)
def test_weights_that_do_not_fit(
    untouched: Trial, tmp_path: Path, write: Callable[[Path], None] | None, message: str
) -> None:
    path = tmp_path / "weights.safetensors"
    if write is not None:
        write(path)
    assert message in untouched.refused("--weights", path)


def test_weights_of_other_bands_start_what_fits_and_say_so(trial: Trial, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = {**weights_of("se_cot_deeplabv3plus", bands=3), "fc.weight": torch.zeros(2)}
    save_file(state, path)
    code, said, error = trial.train("--weights", path, "--lr", "1e-30")
    assert code == 0, error
    assert f"first weights from {path.name}: {len(state) - 2} tensors match" in said
    assert "1 of another shape (backbone.stem.0.0.weight)" in said
    assert "1 not in the network (fc.weight)" in said
    with connect(trial.url) as conn:
        begun = model_by_name(conn, "x").training["first_weights"]
    assert (begun["file"], begun["reshaped"]) == (path.name, ["backbone.stem.0.0.weight"])


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A system that writes no longer files, as a full disk would; the database's own are not of this one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_at_the_checkpoint(untouched: Trial) -> None:
    with files_up_to(10_000):
        error = untouched.refused()
    assert "could not be written" in error
    assert "Make room, then start the same training again" in error


def test_a_training_that_stops_before_its_first_checkpoint_leaves_no_lock(untouched: Trial) -> None:
    untouched.refused("--lr", "1e30")


FULL = """
create function lode.full_disk() returns trigger language plpgsql as
$$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
create trigger full_disk before insert on lode.model_weights execute function lode.full_disk();
"""
NO_LONGER_FULL = "drop function lode.full_disk() cascade"


def test_a_full_disk_at_the_store_loses_no_training(trial: Trial) -> None:
    """The server's own error; the checkpoint stays, so that the same command stores what was trained."""
    checkpoint = trial.folder / "run"
    with trial.changing() as conn:
        conn.execute(FULL)
    code, _said, error = trial.train("--checkpoint", checkpoint)
    assert code == 1
    assert "disk is full" in error
    assert trial.stored() == (0, 0)
    assert checkpoint.exists()
    with trial.changing() as conn:
        conn.execute(NO_LONGER_FULL)
    code, said, error = trial.train("--checkpoint", checkpoint)
    assert code == 0, error
    assert f"going on from {checkpoint}" in said
    assert "epoch 1/1" not in said
    assert trial.stored() == (1, 1)
    assert list(trial.folder.iterdir()) == []


def test_a_full_disk_at_the_store_is_said_plainly(trial: Trial) -> None:
    with trial.changing() as conn:
        conn.execute(FULL)
    code, said, error = trial.train()
    assert code == 1
    assert "disk is full" in error
    assert "epoch 1/1" in said


SLOW = """
create function lode.slow() returns trigger language plpgsql as
$$ begin perform pg_sleep(60); return null; end $$;
create trigger slow after insert on lode.model_weights execute function lode.slow();
"""
STORING = "select pid from pg_stat_activity where application_name = 'lode train' and wait_event = 'PgSleep'"


def test_a_run_killed_while_it_stores_leaves_no_model(trial: Trial) -> None:
    checkpoint = trial.folder / "run"
    with trial.changing() as conn:
        conn.execute(SLOW)
    command = [
        sys.executable, "-m", "lode", "train", "segmentation", "--name", "x", *QUICK,
        "--checkpoint", str(checkpoint),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    with connect(trial.url, autocommit=True) as conn:
        for _ in range(600):
            storing = conn.execute(STORING).fetchall()
            if storing or process.poll() is not None:
                break
            time.sleep(0.1)
        process.kill()
        if storing:  # a server sleeps on when nobody listens any more
            conn.execute("select pg_terminate_backend(pid) from unnest(%s) pid", ([storing[0][0]],))
        _, error = process.communicate(timeout=60)
        assert storing, error
        assert process.returncode == -9, error
        conn.execute("drop function lode.slow() cascade")
    assert trial.stored() == (0, 0)
    assert checkpoint.exists()
    code, said, error = trial.train("--checkpoint", checkpoint)
    assert code == 0, error
    assert "epoch 1/1" not in said
    assert trial.stored() == (1, 1)
    assert list(trial.folder.iterdir()) == []
