"""The weights of an ensemble: the likeliest there are, from pixels judged as in use, of members that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from db.errors import UsageError
from inference.ensembles import mixture
from inference.ensembles.answers import MemberAnswers, member_answers
from inference.ensembles.ground import agreed_parts, changed_labels
from inference.ensembles.mixture import Mixture, equal_mixture, fit_mixture
from inference.networks.ensemble import Ensemble
from inference.networks.ensemble_member import Member
from inference.predict import predict_scene
from inference.segmentation_model import IGNORED, SegmentationModel
from inference.training.blocks import BlockGrid, LabelledPixels
from inference.training.evaluation import evaluate
from inference.training.label_maps import LabelMap
from inference.training.samples import TrainingScene
from tests.unit.segmentation_models import PixelNetwork, model_of, noise, source_of_pixels

CLASSES = 4


def planted(weights: Sequence[float], pixels: int, seed: int = 1) -> NDArray[np.float64]:
    """(pixels, members): each label drawn from one of the members, chosen with its weight."""
    rng = np.random.default_rng(seed)
    answers = rng.dirichlet(np.full(CLASSES, 0.5), (pixels, len(weights)))
    author = rng.choice(len(weights), pixels, p=weights)
    shares = answers[np.arange(pixels), author].cumsum(axis=1)
    labels = (rng.random((pixels, 1)) > shares).sum(axis=1).clip(0, CLASSES - 1)
    likelihoods: NDArray[np.float64] = answers[np.arange(pixels), :, labels]
    return likelihoods


def nll(likelihoods: NDArray[np.float64], weights: Sequence[float]) -> float:
    return float(-np.log(np.maximum(likelihoods, 1e-12) @ np.array(weights)).mean())


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (0.9, 0.1), (0.05, 0.6, 0.05, 0.3)])
def test_planted_weights_are_found(weights: tuple[float, ...]) -> None:
    found = fit_mixture(planted(weights, 100_000))
    np.testing.assert_allclose(found.weights, weights, atol=0.015)
    assert found.gap <= mixture.TOLERANCE
    assert found.pixels == 100_000
    assert sum(found.weights) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_no_member_alone_and_no_plain_mean_is_likelier(seed: int) -> None:
    rng = np.random.default_rng(seed)
    likelihoods = rng.beta(*rng.uniform(0.2, 3, (2, 3, 1)), (3, 2000)).T
    found = fit_mixture(likelihoods)
    alone = [nll(likelihoods, np.eye(3)[place]) for place in range(3)]
    assert found.nll <= min(*alone, nll(likelihoods, [1 / 3] * 3))
    assert found.nll_of_members == pytest.approx(tuple(alone))
    assert found.nll_of_equal == pytest.approx(nll(likelihoods, [1 / 3] * 3))
    assert found.nll == pytest.approx(nll(likelihoods, found.weights))


@pytest.mark.parametrize("seed", range(4))
def test_another_method_finds_the_same_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    likelihoods = planted(rng.dirichlet(np.full(3, 2.0)), 3000, seed)
    sought = minimize(
        lambda logits: nll(likelihoods, np.exp(logits) / np.exp(logits).sum()),
        np.zeros(3),
        method="Nelder-Mead",
        options={"xatol": 1e-7, "fatol": 1e-13, "maxiter": 4000},
    )
    found = fit_mixture(likelihoods)
    assert found.nll <= sought.fun + mixture.TOLERANCE
    np.testing.assert_allclose(found.weights, np.exp(sought.x) / np.exp(sought.x).sum(), atol=2e-3)


def test_every_round_makes_the_labels_likelier_and_the_gap_bounds_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    likelihoods = planted((0.7, 0.2, 0.1), 2000)
    best = fit_mixture(likelihoods)
    monkeypatch.setattr(mixture, "FAINT", 0.0)
    begun = [equal_mixture(likelihoods)]
    for rounds in (1, 2, 3, 5, 10, 40):
        monkeypatch.setattr(mixture, "ROUNDS", rounds)
        begun.append(fit_mixture(likelihoods))
        assert begun[-1].rounds <= rounds
    losses = [one.nll for one in begun]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[1] > losses[2]
    for one in begun:
        assert one.nll - best.nll <= one.gap + 1e-12
    assert begun[0].gap > 0.01


def test_a_member_that_adds_nothing_gets_nothing() -> None:
    likelihoods = planted((0.6, 0.4), 20_000)
    blind = np.full((20_000, 1), 0.02)  # worse than chance everywhere
    found = fit_mixture(np.hstack((likelihoods, blind)))
    assert found.weights[2] == 0
    np.testing.assert_allclose(found.weights[:2], fit_mixture(likelihoods).weights, atol=1e-4)


def test_a_member_better_everywhere_gets_all() -> None:
    good = np.random.default_rng(1).uniform(0.5, 1, 500)
    assert fit_mixture(np.stack((good * 0.9, good), axis=1)).weights == (0.0, 1.0)


def test_a_faint_member_that_helps_keeps_its_weight() -> None:
    """One pixel of a thousand is known to it alone."""
    likelihoods = np.column_stack((np.full(1000, 0.9), np.full(1000, 0.1)))
    likelihoods[:4] = (1e-9, 0.9)
    found = fit_mixture(likelihoods)
    assert 0 < found.weights[1] < mixture.FAINT
    assert found.nll < nll(likelihoods, (1, 0)) - 0.01


def test_the_order_of_members_changes_nothing() -> None:
    likelihoods = planted((0.5, 0.3, 0.2), 5000)
    turned = fit_mixture(likelihoods[:, [2, 0, 1]]).weights
    np.testing.assert_allclose([turned[1], turned[2], turned[0]], fit_mixture(likelihoods).weights, atol=1e-9)


def test_the_same_pixels_give_the_same_weights() -> None:
    likelihoods = planted((0.5, 0.5), 5000)
    assert fit_mixture(likelihoods) == fit_mixture(likelihoods.copy())


def test_what_everybody_rules_out_is_no_infinite_loss() -> None:
    likelihoods = planted((0.5, 0.5), 5000)
    likelihoods[:10] = 0
    found = fit_mixture(likelihoods)
    assert np.isfinite([found.nll, *found.nll_of_members]).all()
    np.testing.assert_allclose(found.weights, fit_mixture(likelihoods[10:]).weights, atol=1e-3)


def test_the_plain_mean_is_told_with_its_loss() -> None:
    likelihoods = planted((0.9, 0.1), 5000)
    plain = equal_mixture(likelihoods)
    assert plain.weights == (0.5, 0.5)
    assert (plain.rounds, plain.nll) == (0, plain.nll_of_equal)
    fitted = fit_mixture(likelihoods)
    assert plain.nll - fitted.nll <= plain.gap
    assert plain.as_json(["a", "b"])["weights"] == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("likelihoods", "message"),
    [
        (np.zeros((0, 2)), "no labelled pixel"),
        (np.array([[0.5, np.nan]]), "run from nan to nan"),
        (np.array([[0.5, 1.5]]), r"run from 0\.5 to 1\.5"),
        (np.array([[0.5, -0.5]]), r"run from -0\.5 to 0\.5"),
    ],
)
def test_what_is_no_probability_is_refused(likelihoods: NDArray[np.float64], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_mixture(likelihoods)


# ---- what the members say


class TurnedNetwork(nn.Module):
    """`PixelNetwork` that takes each class for the next one, and looks around itself."""

    def forward(self, tiles: Tensor) -> Tensor:
        around = nn.functional.avg_pool2d(tiles, 3, 1, 1)
        return PixelNetwork()(around.roll(1, dims=1))


def small_ensemble() -> tuple[SegmentationModel, Ensemble, list[SegmentationModel]]:
    """Two networks of three bands, as an ensemble and alone."""
    alone = [model_of(PixelNetwork(), name="a"), model_of(TurnedNetwork(), name="b", temperature=0.5)]
    members = [
        Member(one.name, "0" * 64, "drawn", {}, one.band_names, one.normalisation, one.temperature, 0.5)
        for one in alone
    ]
    network = Ensemble(members, [one.network for one in alone], alone[0].normalisation, [0, 1, 2], 8)
    return model_of(network, name="both"), network, alone


def labelled_scene(seed: int = 1) -> TrainingScene:
    """Noise of 75 x 50 pixels whose labels follow the largest band, in part; a corner holds no data."""
    pixels = noise(3, 75, 50, seed)
    pixels[:, 60:, 40:] = np.nan
    source = source_of_pixels(pixels)
    rng = np.random.default_rng(seed)
    classes = np.where(np.isnan(pixels[0]), 0, pixels.argmax(axis=0)).astype(np.uint8)
    classes[rng.random(classes.shape) < 0.2] = 5  # a class that no member can answer
    polygons = np.where((rng.random(classes.shape) < 0.3) & ~np.isnan(pixels[0]), 1, 0).astype(np.int32)
    labelled = LabelledPixels.of_scene(LabelMap(classes, polygons), source.grid, BlockGrid(32645, 1e6))
    return TrainingScene(source, "drawn", labelled, rng.integers(0, 3, labelled.rows.size).astype(np.uint8))


@pytest.mark.parametrize("overlap_px", [None, 0, 20])
def test_members_are_judged_as_they_are_alone(overlap_px: int | None) -> None:
    model, network, alone = small_ensemble()
    scenes = [labelled_scene(1), labelled_scene(2)]
    found = member_answers(model, network, scenes, 1, overlap_px)
    for one, metrics in zip(alone, found.metrics, strict=True):
        expected = evaluate(one, scenes, 1, overlap_px)
        assert expected.confusion.sum() == sum(int((scene.parts == 1).sum()) for scene in scenes)
        np.testing.assert_array_equal(metrics.confusion, expected.confusion)
    assert found.metrics[0].mean_iou > found.metrics[1].mean_iou


def test_likelihoods_are_the_members_probabilities_of_the_labels() -> None:
    model, network, alone = small_ensemble()
    scene = labelled_scene()
    found = member_answers(model, network, [scene], 1, 8)
    truth = scene.truth(1)
    rows, cols = np.nonzero(truth <= 2)
    assert 0 < rows.size < (truth != IGNORED).sum()
    assert found.likelihoods.shape == (rows.size, 2)
    for number, one in enumerate(alone):
        strips = [strip.probabilities for strip in predict_scene(scene.source, one, overlap_px=8)]
        stored = np.concatenate([strip for strip in strips if strip is not None], axis=1) / 200
        np.testing.assert_allclose(
            found.likelihoods[:, number], stored[truth[rows, cols], rows, cols], atol=0.5 / 200 + 1e-6
        )


def test_the_mean_of_what_members_say_is_what_the_ensemble_says() -> None:
    """Blending of windows and averaging of members change places."""
    model, network, _ = small_ensemble()
    network.weigh([0.3, 0.7])
    scene = labelled_scene()
    found = member_answers(model, network, [scene], 0, 8)
    truth = scene.truth(0)
    rows, cols = np.nonzero(truth <= 2)
    strips = [strip.probabilities for strip in predict_scene(scene.source, model, overlap_px=8)]
    stored = np.concatenate([strip for strip in strips if strip is not None], axis=1) / 200
    expected = found.likelihoods @ np.array([0.3, 0.7])
    np.testing.assert_allclose(stored[truth[rows, cols], rows, cols], expected, atol=0.5 / 200 + 1e-6)


def test_many_pixels_are_thinned_the_same_way_each_time() -> None:
    answers = MemberAnswers(np.arange(2000, dtype=np.float32).reshape(1000, 2), [])
    few = answers.sampled(100)
    assert few.shape == (100, 2)
    assert (np.diff(few[:, 0]) > 0).all()
    np.testing.assert_array_equal(few, answers.sampled(100))
    assert answers.sampled(1000) is answers.likelihoods


def test_pixels_that_members_saw_in_different_parts_are_left_out() -> None:
    scene = labelled_scene()
    parts = scene.parts.copy()
    parts[3] = (parts[3] + 1) % 3
    keep = np.ones(parts.size, bool)
    keep[[5, 9]] = False  # not labelled at all for the other: it lacked a band there
    labelled = LabelledPixels(
        **{name: values[keep] for name, values in vars(scene.labelled).items()},
    )
    other = replace(scene, labelled=labelled, parts=parts[keep])
    expected = scene.parts.copy()
    expected[[3, 5, 9]] = IGNORED
    np.testing.assert_array_equal(agreed_parts(scene, other), expected)


def test_labels_that_changed_since_are_told() -> None:
    scene = labelled_scene()
    validation, test = (int((scene.parts == part).sum()) for part in (1, 2))
    stored = {"pixels": {"validation": {"water": validation - 5, "dump": 5}, "test": {"water": test + 3}}}
    [line] = changed_labels(stored, [scene])
    assert line.startswith(f"test: {test} labelled pixels, {test + 3} when the members were trained")
    assert [line.split(":")[0] for line in changed_labels({}, [scene])] == ["validation", "test"]


def test_the_networks_of_the_small_ensemble_differ() -> None:
    """Or the tests above would not tell one member from the other."""
    tiles = torch.from_numpy(noise(3, 32, 32)[None])
    _, network, _ = small_ensemble()
    with torch.inference_mode():
        each = network.member_probabilities(tiles)
    assert float((each[:, 0] - each[:, 1]).abs().mean()) > 0.1


def test_a_mixture_is_stored_by_name() -> None:
    one = Mixture((0.25, 0.75), 10, 3, 1e-8, 0.5, (0.7, 0.6), 0.55)
    assert one.as_json(["x", "y"]) == {
        "weights": {"x": 0.25, "y": 0.75},
        "pixels": 10,
        "rounds": 3,
        "gap": 1e-8,
        "nll": 0.5,
        "nll_of_members": {"x": 0.7, "y": 0.6},
        "nll_of_equal": 0.55,
    }
