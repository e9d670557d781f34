"""An ensemble in the database: made of trained models, used like one, judged beside them, or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from psycopg import Connection

from db.connection import connect
from db.embedded import Cluster
from db.errors import UsageError
from db.registry import ModelRecord, StoredModel, list_models, load_model, model_by_name, retire_model
from db.scenes import scene_by_product
from inference.ensemble_command import ensemble
from inference.ensembles.ground import scenes_of_members
from inference.ensembles.making import make_ensemble
from inference.ensembles.members import check_members
from inference.ensembles.mixture import TOLERANCE
from inference.interpret import interpret
from inference.model_commands import model_group
from inference.models.exchange.export import export_model
from inference.models.exchange.importing import import_model
from inference.predict import predict_scene
from inference.scene_checks import open_source
from inference.segmentation_model import SegmentationModel, load_segmentation
from inference.training.blocks import TEST, VALIDATION
from ingest.declaration import Statement
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.requests import FeatureRequest
from ingest.scene import ingest_scene
from tests.conftest import copied_database
from tests.fields import CODES, COLLAR_PX, FIELD_PX, train, write_labels, write_scene
from tests.ingest_files import some_pixels, write_tiff

CPU = torch.device("cpu")


def typed(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(ensemble, list(arguments), env={"LODE_DATABASE_URL": url})


@dataclass(frozen=True)
class Prepared:
    """A database with a labelled scene, two networks of one split and other bands, and their ensemble.

    Nobody changes it; `changeable` is a copy for one test.
    """

    database: str
    url: str
    printed: str

    def record(self, name: str = "both") -> ModelRecord:
        with connect(self.url) as conn:
            return model_by_name(conn, name)


@pytest.fixture(scope="module")
def prepared(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    folder, name = tmp_path_factory.mktemp("ensemble"), "lode_test_ensemble"
    cluster.create_database(name, template=template_database)
    url = cluster.url(name)
    with connect(url) as conn:
        statement = Statement(sensor="gf2_pms", acquired_on=date(2021, 6, 19), product="fields")
        ingest_scene(conn, source_file(write_scene(folder)), statement)
        labels = FeatureRequest(source_file(write_labels(folder)))
        ingest_labels(conn, labels, LabelRequest(product="fields"))
        conn.commit()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(url, "a", "deeplabv3plus", ("blue", "green", "red", "nir"), seed=1)
    train(url, "b", "unet", ("nir", "blue"), seed=2)
    done = typed(url, "both", "--member", "b", "--member", "a", "--device", "cpu")
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    yield Prepared(name, url, done.output)
    cluster.drop_database(name)


@pytest.fixture
def changeable(cluster: Cluster, prepared: Prepared) -> Iterator[str]:
    with copied_database(cluster, prepared.database) as copied:
        yield copied


def made(url: str, name: str, members: tuple[str, ...] = ("a", "b")) -> ModelRecord:
    return make_ensemble(url, name, members, device_name="cpu", report=print)


def loaded(url: str, name: str) -> SegmentationModel:
    with connect(url) as conn:
        return load_segmentation(conn, name, CPU)


def probabilities(url: str, model: SegmentationModel) -> NDArray[np.float64]:
    """(classes, height, width) as served, NaN where not observed."""
    with connect(url, autocommit=True) as conn:
        source = open_source(conn, scene_by_product(conn, "fields"), model)
        strips = [strip.probabilities for strip in predict_scene(source, model)]
    stored = np.concatenate([strip for strip in strips if strip is not None], axis=1)
    return np.where(stored == 255, np.nan, stored / 200)


# ---- what is stored, and how it is used


def test_a_scene_gets_the_weighted_mean_of_the_members_probabilities(prepared: Prepared) -> None:
    record, url = prepared.record(), prepared.url
    assert record.band_names == ["blue", "green", "red", "nir"]
    weights = {one["name"]: one["weight"] for one in record.options["members"]}
    assert min(weights.values()) > 0.05  # or it is no mean
    each = {name: probabilities(url, loaded(url, name)) for name in ("a", "b")}
    assert np.nanmax(np.abs(each["a"] - each["b"])) > 0.2  # or it could be either
    mean = sum(weights[name] * each[name] for name in weights)
    served = loaded(url, "both")
    plain = probabilities(url, replace(served, temperature=1.0))
    assert np.isnan(plain[:, :COLLAR_PX]).all()
    assert np.isfinite(plain[:, COLLAR_PX:]).all()
    # rounded to 1/200 twice
    np.testing.assert_allclose(plain, mean, atol=1 / 200 + 1e-6)

    # its own temperature comes on top, as with any model
    assert served.temperature == record.temperature != 1
    tempered = probabilities(url, served)
    is_sharper = np.nanmean(tempered.max(axis=0)) > np.nanmean(plain.max(axis=0))
    assert is_sharper == (served.temperature < 1)


def test_lode_infer_publishes_with_it_when_its_members_are_gone(changeable: str) -> None:
    before = probabilities(changeable, loaded(changeable, "both"))
    with connect(changeable) as conn:
        retire_model(conn, "a", "replaced by the ensemble")
        conn.execute("delete from lode.model where name = 'b'")
        conn.commit()
    np.testing.assert_array_equal(probabilities(changeable, loaded(changeable, "both")), before)
    outcome = interpret(changeable, "fields", "both", device_name="cpu")
    assert outcome.is_current
    assert outcome.figures["polygons"] > 1
    with connect(changeable) as conn:
        codes = conn.execute(
            "select distinct l.land_class_code from lode.landcover l join lode.run r using (run_id)"
            " join lode.model m using (model_id) where m.name = 'both'"
        ).fetchall()
    answered = np.unique(before[:, COLLAR_PX:].argmax(axis=0))
    assert {code for (code,) in codes} <= set(answered.tolist()) <= set(CODES)
    assert len(codes) > 1
    assert interpret(changeable, "fields", "both", device_name="cpu").was_published_before


def test_it_travels_to_another_database(changeable: str, tmp_path: Path) -> None:
    before = probabilities(changeable, loaded(changeable, "both"))
    with connect(changeable) as conn:
        export_model(conn, "both", tmp_path / "both")
        conn.execute("delete from lode.model")
        import_model(conn, tmp_path / "both")
        conn.commit()
    np.testing.assert_array_equal(probabilities(changeable, loaded(changeable, "both")), before)


def test_the_row_says_of_what_and_how_it_was_made(prepared: Prepared) -> None:
    record = prepared.record()
    with connect(prepared.url) as conn:
        members = {name: load_model(conn, name) for name in ("a", "b")}
        size = len(load_model(conn, "both").weights)
    assert (record.task, record.architecture) == ("segmentation", "ensemble")
    assert record.mapped_codes == list(CODES)
    assert (record.tile_px, record.resolution_m) == (32, 10.0)
    for one in record.options["members"]:
        member = members[one["name"]]
        assert one["sha256"] == hashlib.sha256(member.weights).hexdigest()
        for column in ("architecture", "options", "band_names", "normalisation", "temperature"):
            assert one[column] == getattr(member.record, column)
    assert size == pytest.approx(sum(len(member.weights) for member in members.values()), rel=0.05)
    training = record.training
    for key in ("split", "scenes", "pixels", "processing_level"):
        assert training[key] == members["a"].record.training[key]
    assert (training["best_epoch"], record.history) == (0, [])
    assert training["seconds"] > 0
    weights = {one["name"]: one["weight"] for one in training["members"]}
    assert sum(weights.values()) == pytest.approx(1)
    assert training["mixture"]["weights"] == weights
    assert record.metrics["calibration"]["temperature"]["value"] == record.temperature
    assert set(record.metrics["baselines"]) == {"majority_class", "pixel_regression"}


def test_lode_model_shows_and_lists_it(prepared: Prepared) -> None:
    for arguments in (["show", "both"], ["show", "both", "--format", "json"], ["list"]):
        done = CliRunner().invoke(model_group, arguments, env={"LODE_DATABASE_URL": prepared.url})
        assert done.exit_code == 0, done.output
        assert "both" in done.output
        assert "ensemble" in done.output


def test_members_and_ensemble_are_judged_on_the_same_pixels(prepared: Prepared) -> None:
    record, beside = prepared.record(), prepared.record().metrics["members"]
    assert set(beside) == {"a", "b"}
    pixels = sum(record.training["pixels"]["test"].values())
    assert record.metrics["pixels"] == beside["a"]["pixels"] == beside["b"]["pixels"] == pixels
    # No pixel lacks a band, so these are the figures that the members were stored with, but for pixels on
    # the edge between two classes, which the last bit of the input can move.
    for one in record.training["members"]:
        alone = prepared.record(one["name"])
        moved = np.abs(np.subtract(beside[one["name"]]["confusion"], alone.metrics["confusion"])).sum() / 2
        assert moved <= 2e-3 * pixels
        best = max(epoch["validation_mean_iou"] for epoch in alone.history)
        assert one["validation_mean_iou"] == pytest.approx(best, abs=2e-3)
    assert beside["a"]["confusion"] != beside["b"]["confusion"]


def test_the_weights_make_the_validation_labels_likeliest(prepared: Prepared) -> None:
    record = prepared.record()
    mixture = record.training["mixture"]
    assert mixture["pixels"] == sum(record.training["pixels"]["validation"].values())
    assert mixture["nll"] < min(mixture["nll_of_equal"], *mixture["nll_of_members"].values())
    assert mixture["gap"] <= TOLERANCE


def test_the_command_tells_weights_and_figures(prepared: Prepared) -> None:
    record, lines = prepared.record(), prepared.printed.splitlines()
    for one in record.training["members"]:
        [line] = [line for line in lines if line.startswith(f"{one['name']} ") and "alone" not in line]
        test = record.metrics["members"][one["name"]]["mean_iou"]
        assert line.split()[1:] == [f"{v:.3f}" for v in (one["weight"], one["validation_mean_iou"], test)]
    [line] = [line for line in lines if line.startswith("ensemble ")]
    together = record.training["validation_mean_iou"], record.metrics["mean_iou"]
    assert line.split()[1:] == [f"{value:.3f}" for value in together]
    best = max(record.training["members"], key=lambda one: float(one["validation_mean_iou"]))["name"]
    is_beaten = record.metrics["members"][best]["mean_iou"] >= record.metrics["mean_iou"]
    assert (f"{best} alone, the best member on validation" in prepared.printed) == is_beaten
    assert lines[-1].startswith("stored as both, temperature ")


def test_equal_weights_and_overlap_can_be_asked_for(changeable: str) -> None:
    done = typed(
        changeable, "plain", "--member", "a", "--member", "b", "--equal-weights", "--overlap-px", "0"
    )
    assert done.exit_code == 0, done.output
    with connect(changeable) as conn:
        record = model_by_name(conn, "plain")
    assert [one["weight"] for one in record.options["members"]] == [0.5, 0.5]
    settings = record.training["settings"]
    assert settings == {"architecture": "ensemble", "equal_weights": True, "overlap_px": 0}
    assert record.training["mixture"]["rounds"] == 0


def test_the_order_of_the_members_makes_no_difference(changeable: str, prepared: Prepared) -> None:
    other, first = made(changeable, "other", ("a", "b")), prepared.record()  # the first came of b, a
    # the last bit of a convolution may differ from run to run
    assert [one["name"] for one in other.options["members"]] == ["a", "b"]
    weights = [[one.pop("weight") for one in record.options["members"]] for record in (other, first)]
    assert weights[0] == pytest.approx(weights[1], abs=1e-5)
    assert other.options == first.options
    assert other.metrics["mean_iou"] == pytest.approx(first.metrics["mean_iou"], abs=1e-3)
    with connect(changeable) as conn:
        assert load_model(conn, "other").sha256 == load_model(conn, "both").sha256


def test_ground_is_that_of_the_members(prepared: Prepared) -> None:
    """A member of other bands is asked for its split as well; here no pixel lacks a band."""
    records = [prepared.record(name) for name in ("a", "b")]
    with connect(prepared.url) as conn, connect(prepared.url, autocommit=True) as reading:
        scenes = scenes_of_members(conn, reading, records, ("blue", "green", "red", "nir"))
    pixels = records[0].training["pixels"]
    for part, name in ((VALIDATION, "validation"), (TEST, "test")):
        assert sum(int((scene.parts == part).sum()) for scene in scenes) == sum(pixels[name].values())


def test_members_may_have_named_their_scenes_in_another_order(changeable: str, tmp_path: Path) -> None:
    """Parts are held against each other scene by scene, whichever scene a member names first."""
    with connect(changeable) as conn:
        pixels = some_pixels(4, FIELD_PX, FIELD_PX // 2)
        pixels[:, : FIELD_PX // 2] = 0
        path = write_tiff(tmp_path / "half.tif", pixels, nodata=0)
        statement = Statement(sensor="gf2_pms", acquired_on=date(2021, 7, 1), product="half")
        ingest_scene(conn, source_file(path), statement)
        conn.execute("update lode.label set scene_id = null")  # they hold for both scenes
        conn.commit()
        here = [
            {"product": name, "version": 1, "scene_id": scene_by_product(conn, name).scene_id}
            for name in ("fields", "half")
        ]
        a, b = (model_by_name(conn, name) for name in ("a", "b"))
        first = replace(a, training=a.training | {"scenes": here})
        alike, turned = (replace(b, training=b.training | {"scenes": s}) for s in (here, here[::-1]))
        check_members([StoredModel(first, b"a", "a"), StoredModel(turned, b"b", "b")])
        with connect(changeable, autocommit=True) as reading:
            expected, found = (
                scenes_of_members(conn, reading, [first, other], first.band_names)
                for other in (alike, turned)
            )
    assert [scene.product for scene in found] == ["fields", "half"]
    for one, other in zip(found, expected, strict=True):
        assert (other.parts == VALIDATION).any()
        np.testing.assert_array_equal(one.parts, other.parts)


# ---- what is refused


def copy_model(conn: Connection[Any], name: str, **columns: str) -> None:
    """A model like a; columns as SQL expressions over its row ``m``."""
    changes = {"name": f"'{name}'", **columns}
    pairs = ", ".join(f"'{column}', {expression}" for column, expression in changes.items())
    conn.execute(
        "insert into lode.model select (jsonb_populate_record(m, jsonb_build_object("  # type: ignore[arg-type]
        f"'model_id', (select max(model_id) + 1 from lode.model), {pairs}))).* from lode.model m"
        " where name = 'a'"
    )
    conn.execute(
        "insert into lode.model_weights select n.model_id, w.sha256, w.weights from lode.model_weights w"
        " join lode.model m using (model_id), lode.model n where m.name = 'a' and n.name = %s",
        (name,),
    )


@pytest.fixture(scope="module")
def misfits(cluster: Cluster, prepared: Prepared) -> Iterator[str]:
    """The database with models that do not go with a and b, each called by what is wrong with it."""
    with copied_database(cluster, prepared.database) as url:
        with connect(url) as conn:
            for name in ("copy", "retired", "damaged"):
                copy_model(conn, name)
            copy_model(conn, "blocks", training="jsonb_set(m.training, '{split,edge_m}', '77')")
            copy_model(conn, "scene", training="jsonb_set(m.training, '{scenes,0,scene_id}', '77')")
            retire_model(conn, "retired", "drawn from a wrong year")
            conn.execute(
                "update lode.model_weights set weights = set_byte(weights, 5000, get_byte(weights, 5000) # 1)"
                " where model_id = (select model_id from lode.model where name = 'damaged')"
            )
            conn.commit()
        yield url


def names_stored(url: str) -> list[str]:
    with connect(url) as conn:
        return [record.name for record in list_models(conn)]


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("a", ("a", "b"), "'a' exists"),
        (" ", ("a", "b"), "model name"),
        ("x", ("a",), "at least two members, got a alone"),
        ("x", (), "at least two members, got none"),
        ("x", ("a", "a"), "member a is named twice"),
        ("x", ("a", "nobody"), "no model is called 'nobody': there are a, b"),
        ("x", ("a", "copy"), "members a and copy are one network"),
        ("x", ("b", "blocks"), "b and blocks were trained on different splits"),
        ("x", ("b", "scene"), "b and scene were trained on different scenes"),
        ("x", ("b", "retired"), "retired was retired on .*drawn from a wrong year"),
        ("x", ("b", "damaged"), "weights of model damaged are damaged"),
        ("x", ("both", "a"), "member both is an ensemble itself: name its members instead, a, b,"),
    ],
)
def test_refusals_leave_nothing_behind(
    misfits: str, name: str, members: tuple[str, ...], message: str
) -> None:
    before = names_stored(misfits)
    with pytest.raises(UsageError, match=message):
        made(misfits, name, members)
    assert names_stored(misfits) == before


def test_labels_and_sample_set_must_still_be_there(changeable: str) -> None:
    with connect(changeable) as conn:
        split = model_by_name(conn, "a").training["split"]
        edge_m = split["edge_m"]
        for col, row, part in split["blocks"]:
            if part == "test":
                conn.execute(
                    "delete from lode.label where st_intersects(st_transform(geom, 32645),"
                    " st_makeenvelope(%s, %s, %s, %s, 32645))",
                    (col * edge_m, row * edge_m, (col + 1) * edge_m, (row + 1) * edge_m),
                )
        conn.commit()
    with pytest.raises(UsageError, match=r"no labelled pixel .* for test .* bands blue, green, red, nir"):
        made(changeable, "x")
    with connect(changeable) as conn:
        conn.execute("delete from lode.label")
        conn.commit()
    with pytest.raises(UsageError, match="no label of a class that networks know"):
        made(changeable, "x")
    with connect(changeable) as conn:
        conn.execute(
            "update lode.model set training = jsonb_set(training, '{split}',"
            ' \'{"sample_set": "gone", "digest": "0"}\')'
        )
        conn.commit()
    with pytest.raises(UsageError, match="gone"):
        made(changeable, "x")
    assert "x" not in names_stored(changeable)
