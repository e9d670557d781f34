"""An ensemble in the database: made of trained models, used like one, judged beside them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from db.connection import connect
from db.registry import StoredModel, load_model, model_by_name, retire_model
from db.scenes import scene_by_product
from inference.ensembles.ground import scenes_of_members
from inference.ensembles.members import check_members
from inference.ensembles.mixture import TOLERANCE
from inference.interpret import interpret
from inference.model_commands import model_group
from inference.models.exchange.export import export_model
from inference.models.exchange.importing import import_model
from inference.predict import predict_scene
from inference.scene_checks import open_source
from inference.segmentation_model import SegmentationModel
from inference.training.blocks import TEST, VALIDATION
from ingest.declaration import Statement
from ingest.files import source_file
from ingest.scene import ingest_scene
from tests.db.ensembles import Prepared, loaded, made, typed
from tests.fields import CODES, COLLAR_PX, FIELD_PX
from tests.ingest_files import some_pixels, write_tiff


def probabilities(url: str, model: SegmentationModel) -> NDArray[np.float64]:
    """(classes, height, width) as served, NaN where not observed."""
    with connect(url, autocommit=True) as conn:
        source = open_source(conn, scene_by_product(conn, "fields"), model)
        strips = [strip.probabilities for strip in predict_scene(source, model)]
    stored = np.concatenate([strip for strip in strips if strip is not None], axis=1)
    return np.where(stored == 255, np.nan, stored / 200)


def test_a_scene_gets_the_weighted_mean_of_the_members_probabilities(ensemble: Prepared) -> None:
    record, url = ensemble.record(), ensemble.url
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


def test_lode_infer_publishes_with_it_when_its_members_are_gone(ensemble_copy: str) -> None:
    before = probabilities(ensemble_copy, loaded(ensemble_copy, "both"))
    with connect(ensemble_copy) as conn:
        retire_model(conn, "a", "replaced by the ensemble")
        conn.execute("delete from lode.model where name = 'b'")
        conn.commit()
    np.testing.assert_array_equal(probabilities(ensemble_copy, loaded(ensemble_copy, "both")), before)
    outcome = interpret(ensemble_copy, "fields", "both", device_name="cpu")
    assert outcome.is_current
    assert outcome.figures["polygons"] > 1
    with connect(ensemble_copy) as conn:
        codes = conn.execute(
            "select distinct l.land_class_code from lode.landcover l join lode.run r using (run_id)"
            " join lode.model m using (model_id) where m.name = 'both'"
        ).fetchall()
    answered = np.unique(before[:, COLLAR_PX:].argmax(axis=0))
    assert {code for (code,) in codes} <= set(answered.tolist()) <= set(CODES)
    assert len(codes) > 1
    assert interpret(ensemble_copy, "fields", "both", device_name="cpu").was_published_before


def test_it_travels_to_another_database(ensemble_copy: str, tmp_path: Path) -> None:
    before = probabilities(ensemble_copy, loaded(ensemble_copy, "both"))
    with connect(ensemble_copy) as conn:
        export_model(conn, "both", tmp_path / "both")
        conn.execute("delete from lode.model")
        import_model(conn, tmp_path / "both")
        conn.commit()
    np.testing.assert_array_equal(probabilities(ensemble_copy, loaded(ensemble_copy, "both")), before)


def test_the_row_says_of_what_and_how_it_was_made(ensemble: Prepared) -> None:
    record = ensemble.record()
    with connect(ensemble.url) as conn:
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


def test_lode_model_shows_and_lists_it(ensemble: Prepared) -> None:
    for arguments in (["show", "both"], ["show", "both", "--format", "json"], ["list"]):
        done = CliRunner().invoke(model_group, arguments, env={"LODE_DATABASE_URL": ensemble.url})
        assert done.exit_code == 0, done.output
        assert "both" in done.output
        assert "ensemble" in done.output


def test_members_and_ensemble_are_judged_on_the_same_pixels(ensemble: Prepared) -> None:
    record, beside = ensemble.record(), ensemble.record().metrics["members"]
    assert set(beside) == {"a", "b"}
    pixels = sum(record.training["pixels"]["test"].values())
    assert record.metrics["pixels"] == beside["a"]["pixels"] == beside["b"]["pixels"] == pixels
    # No pixel lacks a band, so these are the figures that the members were stored with, but for pixels on
    # the edge between two classes, which the last bit of the input can move.
    for one in record.training["members"]:
        alone = ensemble.record(one["name"])
        moved = np.abs(np.subtract(beside[one["name"]]["confusion"], alone.metrics["confusion"])).sum() / 2
        assert moved <= 2e-3 * pixels
        best = max(epoch["validation_mean_iou"] for epoch in alone.history)
        assert one["validation_mean_iou"] == pytest.approx(best, abs=2e-3)
    assert beside["a"]["confusion"] != beside["b"]["confusion"]


def test_the_weights_make_the_validation_labels_likeliest(ensemble: Prepared) -> None:
    record = ensemble.record()
    mixture = record.training["mixture"]
    assert mixture["pixels"] == sum(record.training["pixels"]["validation"].values())
    assert mixture["nll"] < min(mixture["nll_of_equal"], *mixture["nll_of_members"].values())
    assert mixture["gap"] <= TOLERANCE


def test_the_command_tells_weights_and_figures(ensemble: Prepared) -> None:
    record, lines = ensemble.record(), ensemble.printed.splitlines()
    for one in record.training["members"]:
        [line] = [line for line in lines if line.startswith(f"{one['name']} ") and "alone" not in line]
        test = record.metrics["members"][one["name"]]["mean_iou"]
        assert line.split()[1:] == [f"{v:.3f}" for v in (one["weight"], one["validation_mean_iou"], test)]
    [line] = [line for line in lines if line.startswith("ensemble ")]
    together = record.training["validation_mean_iou"], record.metrics["mean_iou"]
    assert line.split()[1:] == [f"{value:.3f}" for value in together]
    best = max(record.training["members"], key=lambda one: float(one["validation_mean_iou"]))["name"]
    is_beaten = record.metrics["members"][best]["mean_iou"] >= record.metrics["mean_iou"]
    assert (f"{best} alone, the best member on validation" in ensemble.printed) == is_beaten
    assert lines[-1].startswith("stored as both, temperature ")


def test_equal_weights_and_overlap_can_be_asked_for(ensemble_copy: str) -> None:
    done = typed(
        ensemble_copy, "plain", "--member", "a", "--member", "b", "--equal-weights", "--overlap-px", "0"
    )
    assert done.exit_code == 0, done.output
    with connect(ensemble_copy) as conn:
        record = model_by_name(conn, "plain")
    assert [one["weight"] for one in record.options["members"]] == [0.5, 0.5]
    settings = record.training["settings"]
    assert settings == {"architecture": "ensemble", "equal_weights": True, "overlap_px": 0}
    assert record.training["mixture"]["rounds"] == 0


def test_the_order_of_the_members_makes_no_difference(ensemble_copy: str, ensemble: Prepared) -> None:
    other, first = made(ensemble_copy, "other", ("a", "b")), ensemble.record()  # the first came of b, a
    # the last bit of a convolution may differ from run to run
    assert [one["name"] for one in other.options["members"]] == ["a", "b"]
    weights = [[one.pop("weight") for one in record.options["members"]] for record in (other, first)]
    assert weights[0] == pytest.approx(weights[1], abs=1e-5)
    assert other.options == first.options
    assert other.metrics["mean_iou"] == pytest.approx(first.metrics["mean_iou"], abs=1e-3)
    with connect(ensemble_copy) as conn:
        assert load_model(conn, "other").sha256 == load_model(conn, "both").sha256


def test_ground_is_that_of_the_members(ensemble: Prepared) -> None:
    """A member of other bands is asked for its split as well; here no pixel lacks a band."""
    records = [ensemble.record(name) for name in ("a", "b")]
    with connect(ensemble.url) as conn, connect(ensemble.url, autocommit=True) as reading:
        scenes = scenes_of_members(conn, reading, records, ("blue", "green", "red", "nir"))
    pixels = records[0].training["pixels"]
    for part, name in ((VALIDATION, "validation"), (TEST, "test")):
        assert sum(int((scene.parts == part).sum()) for scene in scenes) == sum(pixels[name].values())


def test_members_may_have_named_their_scenes_in_another_order(ensemble_copy: str, tmp_path: Path) -> None:
    """Parts are held against each other scene by scene, whichever scene a member names first."""
    with connect(ensemble_copy) as conn:
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
        with connect(ensemble_copy, autocommit=True) as reading:
            expected, found = (
                scenes_of_members(conn, reading, [first, other], first.band_names)
                for other in (alike, turned)
            )
    assert [scene.product for scene in found] == ["fields", "half"]
    for one, other in zip(found, expected, strict=True):
        assert (other.parts == VALIDATION).any()
        np.testing.assert_array_equal(one.parts, other.parts)
