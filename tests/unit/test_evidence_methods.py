"""The methods that find anomalies: against hand computations and scikit-learn, stored and restored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import IsolationForest
from sklearn.svm import OneClassSVM

from db.errors import UsageError
from inference.evidence.methods import FittedMethod, fit_method, restore_method
from inference.evidence.methods.features import evenly, hidden_table
from inference.evidence.methods.isolation_forest import Isolation
from inference.evidence.methods.mahalanobis import Mahalanobis, log_contents
from inference.evidence.methods.one_class_svm import OneClass
from inference.evidence.methods.pca import Pca
from inference.evidence.methods.single_layer import SingleLayer
from inference.evidence.recording import median_loss
from inference.evidence.types import HIDDEN_KINDS, METHODS, NETWORKS, EvidenceGround, EvidenceSettings
from tests.evidence_area import FAST, GEOPHYSICS, HOLE, drawn_ground, drawn_system, is_ore

CPU = torch.device("cpu")
AT_ONCE = [method for method in METHODS if method not in NETWORKS]


@pytest.fixture(scope="module")
def ground() -> EvidenceGround:
    return drawn_ground()


def settings_of(method: str, **options: Any) -> EvidenceSettings:
    fast = FAST | {"windows": 16} if method in NETWORKS else {}
    if method == "isolation_forest":
        options = {"trees": 20} | options
    return EvidenceSettings(method=method, options=options, **fast)


def fitted(ground: EvidenceGround, method: str, seed: int = 1, **options: Any) -> FittedMethod:
    return fit_method(method, ground, drawn_system(), settings_of(method, **options), seed, CPU)


def ore_auc(anomaly: NDArray[np.float32], ground: EvidenceGround) -> float:
    """Probability that a cell of ore has a higher anomaly than another."""
    ore = is_ore()[ground.is_scored]
    places = rankdata(anomaly[ground.is_scored])[ore]
    count = ore.sum()
    return float((places.sum() - count * (count + 1) / 2) / (count * (~ore).sum()))


def without(ground: EvidenceGround, name: str) -> EvidenceGround:
    kept = [place for place, each in enumerate(ground.names) if each != name]
    return replace(
        ground,
        channels=tuple(ground.channels[place] for place in kept),
        values=ground.values[kept],
        raw=ground.raw[kept],
        is_known=ground.is_known[kept],
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_used_alike(ground: EvidenceGround, method: str) -> None:
    heard: list[float] = []
    model = fitted(ground, method)
    answer = model.anomaly(ground, drawn_system(), heard.append)
    shape = ground.is_judged.shape
    assert (answer.anomaly.dtype, answer.anomaly.shape) == (np.dtype(np.float32), shape)
    np.testing.assert_array_equal(np.isfinite(answer.anomaly), ground.is_scored)
    assert np.nanmin(answer.anomaly) >= 0
    assert len(np.unique(answer.anomaly[ground.is_scored])) > 100
    assert heard[-1] == 1
    assert heard == sorted(heard)
    if method in NETWORKS or method == "pca":
        hidden = ground.places_of(*HIDDEN_KINDS)
        assert answer.excess is not None
        assert answer.expected is not None
        np.testing.assert_array_equal(np.isfinite(answer.excess), ground.is_known[hidden])
        assert np.isfinite(answer.expected[:, ground.is_scored]).all()
    else:
        assert (answer.excess, answer.expected) == (None, None)
    assert (model.validation_loss is not None) == bool(model.history) == (method in NETWORKS)


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_method_answers_bit_by_bit_the_same(ground: EvidenceGround, method: str) -> None:
    model = fitted(ground, method)
    restored = restore_method(
        settings_of(method), ground.channels, model.state(), seed=1, device=CPU, history=model.history
    )
    first, second = (each.anomaly(ground, drawn_system()) for each in (model, restored))
    np.testing.assert_array_equal(first.anomaly, second.anomaly)
    assert restored.facts == model.facts
    assert restored.validation_loss == model.validation_loss


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_and_another_another(ground: EvidenceGround, method: str) -> None:
    first, again, other = (fitted(ground, method, seed).state() for seed in (3, 3, 4))
    assert list(first) == list(again)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    is_alike = all(np.array_equal(first[name], other[name]) for name in first)
    assert is_alike != settings_of(method).is_random


@pytest.mark.parametrize("method", ["pca", "mahalanobis", "single_layer", "isolation_forest"])
def test_ore_that_was_planted_is_found(ground: EvidenceGround, method: str) -> None:
    assert ore_auc(fitted(ground, method).anomaly(ground, drawn_system()).anomaly, ground) > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_damaged_arrays_are_refused(ground: EvidenceGround, method: str) -> None:
    state = fitted(ground, method).state()
    for name in state:
        for damaged in (
            {key: array for key, array in state.items() if key != name},
            state | {name: state[name][..., None]},
        ):
            with pytest.raises(UsageError, match="the weights are not those of"):
                restore_method(settings_of(method), ground.channels, damaged, seed=1, device=CPU)


@pytest.mark.parametrize("method", AT_ONCE)
def test_numbers_that_are_none_are_refused(ground: EvidenceGround, method: str) -> None:
    state = fitted(ground, method).state()
    for name, array in state.items():
        if array.dtype == np.float64:
            with pytest.raises(UsageError, match=f"NaN or Inf in {name}"):
                restore_method(
                    settings_of(method), ground.channels, state | {name: array * np.nan}, seed=1, device=CPU
                )


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        *(("isolation_forest", "children", 10_000), ("isolation_forest", "children", -1)),
        *(("isolation_forest", "features", 5), ("isolation_forest", "features", -1)),
        ("single_layer", "place", 4),
        ("mahalanobis", "covariance", 0),
        ("one_class_svm", "numbers", 0),
    ],
)
def test_numbers_that_lead_astray_are_refused(
    ground: EvidenceGround, method: str, name: str, value: int
) -> None:
    state = fitted(ground, method).state()
    wrong = state[name].copy()
    wrong.flat[0] = value
    with pytest.raises(UsageError, match="train it again"):
        restore_method(settings_of(method), ground.channels, state | {name: wrong}, seed=1, device=CPU)


@pytest.mark.parametrize("method", METHODS)
def test_ground_with_other_channels_is_refused_by_name(ground: EvidenceGround, method: str) -> None:
    model = fitted(ground, method)
    with pytest.raises(UsageError, match=f"without {GEOPHYSICS}"):
        model.anomaly(without(ground, GEOPHYSICS), drawn_system())


@pytest.mark.parametrize("method", METHODS)
def test_options_that_do_not_exist_are_refused(ground: EvidenceGround, method: str) -> None:
    with pytest.raises(UsageError, match=f"unknown option 'trunks' of the method {method}"):
        fitted(ground, method, trunks=3)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        *(("pca", {"components": 0}), ("pca", {"components": 5}), ("pca", {"explained_share": 1.5})),
        *(("pca", {"explained_share": True}), ("pca", {"components": 1, "explained_share": 0.5})),
        *(("isolation_forest", {"trees": 0}), ("isolation_forest", {"sample": 2.5})),
        *(("one_class_svm", {"nu": 0}), ("one_class_svm", {"gamma": -1}), ("one_class_svm", {"cells": 1})),
    ],
)
def test_options_out_of_range_are_refused(
    ground: EvidenceGround, method: str, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match="option"):
        fitted(ground, method, **options)


def test_an_unknown_method_is_refused(ground: EvidenceGround) -> None:
    with pytest.raises(UsageError, match="unknown method 'oracle'"):
        fit_method("oracle", ground, drawn_system(), EvidenceSettings(), 1, CPU)


def test_components_give_back_what_lies_on_them() -> None:
    """Two channels: what is common to both is expected, half of a lone rise of one is not."""
    ground = drawn_ground(with_geology=False)
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, ground.is_judged.shape).astype(np.float32)
    places = [0, 1]
    pair = replace(
        ground,
        channels=tuple(ground.channels[place] for place in places),
        values=np.stack([shared, shared]),
        raw=ground.raw[places],
        is_known=np.stack([ground.is_judged] * 2),
    )
    model = fitted(pair, "pca")
    assert isinstance(model, Pca)
    assert model.facts == {"components": 1, "explained_share": 1.0}
    np.testing.assert_allclose(np.abs(model.components), np.sqrt(0.5), rtol=1e-6)
    expected = model.expected(np.array([[2.0, 2.0], [2.0, 0.0]]) + model.mean, np.ones((2, 2), bool))
    np.testing.assert_allclose(expected - model.mean, [[2, 2], [1, 1]], atol=1e-6)
    # one unknown: what the other leads one to expect, 3 * (1 - 2^-11) after the rounds
    expected = model.expected(np.array([[3.0, 99.0]]) + model.mean, np.array([[True, False]]))
    np.testing.assert_allclose(expected - model.mean, [[3, 3]], atol=0.01)


def test_components_explain_the_share_that_is_asked_for(ground: EvidenceGround) -> None:
    counts = [len(fitted(ground, "pca", explained_share=share).state()["mean"]) for share in (0.5,)]
    assert counts == [5]
    shares = [fitted(ground, "pca", components=count).facts["explained_share"] for count in (1, 2, 3, 4)]
    assert shares == sorted(shares)
    for wanted in (0.5, shares[0] + 1e-4, shares[1] + 1e-4):
        facts = fitted(ground, "pca", explained_share=wanted).facts
        assert facts["explained_share"] >= wanted
        assert facts["components"] == 1 or shares[facts["components"] - 2] < wanted


def test_one_channel_has_no_components(ground: EvidenceGround) -> None:
    alone = ground
    for name in ("Co", "Cu", "Ni", GEOPHYSICS):
        alone = without(alone, name)
    with pytest.raises(UsageError, match="pca needs two layers"):
        fitted(alone, "pca")


def test_the_forest_answers_as_scikit_learn_does(ground: EvidenceGround) -> None:
    model = fitted(ground, "isolation_forest", seed=7, trees=30, sample=100)
    assert isinstance(model, Isolation)
    values, _is_known = hidden_table(ground)
    theirs = IsolationForest(n_estimators=30, max_samples=100, random_state=7).fit(values)
    np.testing.assert_allclose(model.scores(values), -theirs.score_samples(values), rtol=1e-12)
    assert model.anomaly(ground, drawn_system()).anomaly[ground.is_scored].min() == 0


def test_the_machine_answers_as_scikit_learn_does(ground: EvidenceGround) -> None:
    model = fitted(ground, "one_class_svm", nu=0.2, gamma=0.3, cells=200)
    assert isinstance(model, OneClass)
    values, _is_known = hidden_table(ground)
    theirs = OneClassSVM(nu=0.2, gamma=0.3).fit(values[evenly(len(values), 200)].astype(np.float64))
    np.testing.assert_allclose(model.sums(values), theirs.score_samples(values), rtol=1e-9)
    assert model.facts["cells"] <= 200


@pytest.mark.parametrize(("count", "most"), [(10, 3), (10, 10), (10, 11), (1, 1), (1000, 7)])
def test_cells_are_drawn_evenly(count: int, most: int) -> None:
    drawn = evenly(count, most)
    assert len(drawn) == min(count, most)
    assert 0 <= drawn.min() <= drawn.max() < count
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, evenly(count, most))


def test_cells_are_drawn_from_every_column_of_a_ground() -> None:
    """Every thirtieth of the cells of a ground 300 wide lie in ten columns."""
    assert len(np.unique(evenly(300 * 300, 3000) % 300)) > 290


def test_contents_of_0_count_as_little_and_are_not_left_out(ground: EvidenceGround) -> None:
    raw = ground.raw.copy()
    place = ground.names.index("Cr")
    raw[place, 20, 20] = 0.0
    logs = log_contents(replace(ground, raw=raw))[ground.places_of("geochemistry").index(place)]
    held = raw[place][ground.is_known[place] & (raw[place] > 0)]
    assert logs[20, 20] == pytest.approx(np.log(held.min() / 2), abs=1e-5)


def test_distances_are_those_of_mahalanobis(ground: EvidenceGround) -> None:
    model = fitted(ground, "mahalanobis")
    assert isinstance(model, Mahalanobis)
    logs = log_contents(ground)
    full = np.isfinite(logs).all(axis=0)
    row, col = map(int, np.argwhere(full)[5])
    far = logs[:, row, col] - model.mean
    by_hand = np.sqrt(far @ np.linalg.inv(model.covariance) @ far / 4)
    answer = model.anomaly(ground, drawn_system()).anomaly
    assert answer[row, col] == pytest.approx(by_hand, rel=1e-5)
    # without copper: the other three alone
    row, col = HOLE[0].start, HOLE[1].start
    three = [place for place, name in enumerate(("Co", "Cr", "Cu", "Ni")) if name != "Cu"]
    far = (logs[:, row, col] - model.mean)[three]
    by_hand = np.sqrt(far @ np.linalg.inv(model.covariance[np.ix_(three, three)]) @ far / 3)
    assert answer[row, col] == pytest.approx(by_hand, rel=1e-5)
    assert np.nanmean(answer[full] ** 2) == pytest.approx(1, rel=0.02)


def test_distances_do_not_depend_on_units(ground: EvidenceGround) -> None:
    raw = ground.raw.copy()
    raw[0] *= 10_000
    scaled = replace(ground, raw=raw)
    first, second = (
        fitted(each, "mahalanobis").anomaly(each, drawn_system()).anomaly for each in (ground, scaled)
    )
    np.testing.assert_allclose(first, second, rtol=1e-3)


def test_contents_that_are_all_proportional_have_a_distance(ground: EvidenceGround) -> None:
    raw = ground.raw.copy()
    raw[1] = 2 * raw[0]
    answer = fitted(replace(ground, raw=raw), "mahalanobis").anomaly(replace(ground, raw=raw), drawn_system())
    assert np.isfinite(answer.anomaly[ground.is_scored]).all()


@pytest.mark.parametrize("method", ["mahalanobis", "single_layer"])
def test_contents_of_0_are_ranked_by_plain_answers_too(ground: EvidenceGround, method: str) -> None:
    """Networks rank them as poor ground; a rival that did not would lose for that alone."""
    raw = ground.raw.copy()
    raw[1, 3, 3] = 0
    changed = replace(ground, raw=raw)
    answer = fitted(changed, method).anomaly(changed, drawn_system()).anomaly
    assert np.isfinite(answer[3, 3])


@pytest.mark.parametrize("method", ["mahalanobis", "single_layer"])
def test_methods_of_contents_refuse_ground_without(ground: EvidenceGround, method: str) -> None:
    bare = ground
    for name in ("Co", "Cr", "Cu", "Ni"):
        bare = without(bare, name)
    with pytest.raises(UsageError, match=r"no geochemistry|none of the ore elements"):
        fitted(bare, method)


@pytest.mark.parametrize(
    ("elements", "layer"),
    [({"Cr": 1.0, "Ni": 0.5}, "Cr"), ({"Cr": 0.1, "NiO": 0.5, "Pt": 9.0}, "Ni"), ({"Cu": 1, "Co": 1}, "Co")],
)
def test_the_single_layer_is_that_of_most_weight(
    ground: EvidenceGround, elements: dict[str, float], layer: str
) -> None:
    system = drawn_system(**elements)
    model = fit_method("single_layer", ground, system, EvidenceSettings(), 1, CPU)
    assert isinstance(model, SingleLayer)
    answer = model.anomaly(ground, system)
    assert model.facts == {"layer": layer}
    assert layer in answer.note
    place = ground.names.index(layer)
    known = ground.is_known[place]
    assert (rankdata(answer.anomaly[known]) == rankdata(ground.raw[place][known])).all()
    assert np.nanmin(answer.anomaly) == 0


def test_the_anomaly_is_of_the_elements_of_the_system(ground: EvidenceGround) -> None:
    model = fitted(ground, "pca")
    chromium, copper = (
        model.anomaly(ground, drawn_system(**{element: 1.0})).anomaly for element in ("Cr", "Cu")
    )
    assert ore_auc(chromium, ground) > 0.95
    assert np.isnan(copper[HOLE]).all()
    with pytest.raises(UsageError, match="none of the ore elements"):
        model.anomaly(ground, drawn_system(Sn=1.0))


def test_ground_without_any_value_is_refused(ground: EvidenceGround) -> None:
    nothing = replace(ground, is_known=np.zeros_like(ground.is_known))
    for method in ("pca", "isolation_forest", "one_class_svm"):
        with pytest.raises(UsageError, match="no cell with geochemistry or geophysics"):
            fitted(nothing, method)


def test_the_loss_of_the_median_is_that_of_huber(ground: EvidenceGround) -> None:
    values = ground.values.copy()
    values[ground.places_of("geochemistry")] = 3.0
    values[ground.places_of("geophysics")] = -0.5
    settings = settings_of("vit")
    # 3 - 1/2 of contents, 0.5^2 / 2 of the field
    assert median_loss(replace(ground, values=values), settings, 1) == pytest.approx((2.5 + 0.125) / 2)
