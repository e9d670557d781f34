"""Plain models of ore: what they see, how they are chosen, and how a stored one is checked."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.tree._tree import Tree

from db.errors import UsageError
from inference.prospect import baselines
from inference.prospect.baselines import (
    PlainModel,
    feature_places,
    fit_plain,
    load_plain,
    patch_features,
)
from inference.prospect.channels import Channel
from inference.prospect.settings import ProspectSettings
from inference.prospect.stored_baselines import leads_to_leaves
from inference.prospect.train import LabelledPatches, balanced_accuracy
from tests.unit.prospect_patches import GEOLOGY, SPECTRAL, labelled

QUICK: dict[str, dict[str, Any]] = {"svm": {"C": 1.0}, "forest": {"trees": 20}, "majority": {}}
EVIDENCE = tuple(Channel(name, "evidence") for name in ("Li", "Be", "Cs"))


def fitted(kind: str, **changed: Any) -> PlainModel:
    settings = ProspectSettings(network=kind, options=QUICK[kind] | changed)
    return fit_plain(labelled(150, 1), labelled(80, 2), settings, SPECTRAL)[0]


def test_features_are_means_and_then_deviations_over_the_patch() -> None:
    values = np.arange(2 * 4 * 3, dtype=np.float32).reshape(2, 4, 3)
    found = patch_features(values, (0, 2), (1,))
    assert found.tolist() == [
        [values[n, :, 0].mean(), values[n, :, 2].mean(), pytest.approx(values[n, :, 1].std())]
        for n in range(2)
    ]


def test_the_support_vector_machine_sees_what_was_measured_and_the_forest_all() -> None:
    channels = (*SPECTRAL, *GEOLOGY)
    assert feature_places("svm", channels) == ((0, 1, 2), ())
    assert feature_places("svm", (*EVIDENCE, *GEOLOGY)) == ((0, 1, 2), ())
    assert feature_places("svm", GEOLOGY) == ((0, 1), ())
    granite = Channel("granite", "evidence", is_geology=True)
    assert feature_places("svm", (granite, *EVIDENCE)) == ((1, 2, 3), ())
    assert feature_places("forest", channels) == ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4))
    assert feature_places("majority", channels) == ((), ())


@pytest.mark.parametrize("kind", ["svm", "forest"])
def test_a_plain_model_learns_what_can_be_learned(kind: str) -> None:
    model, judged = fitted(kind), labelled(300, 3)
    probabilities = model.patch_probabilities(judged.values)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    assert balanced_accuracy(judged.is_positive, probabilities >= 0.5) > 0.9
    assert probabilities[judged.is_positive].mean() > 0.8 > 0.2 > probabilities[~judged.is_positive].mean()


def test_the_commonest_answer_knows_the_share_alone() -> None:
    training = labelled(150, 1)
    model = fitted("majority")
    assert model.patch_probabilities(labelled(5, 3).values).tolist() == pytest.approx(
        [training.is_positive.mean()] * 5
    )


def test_options_are_chosen_on_the_validation_patches() -> None:
    """The same training; validation of another kind of ground changes which trial is best."""
    heard: list[Any] = []
    settings = ProspectSettings(network="svm")
    training, validation = labelled(120, 1, shift=0.4), labelled(200, 2, shift=0.4)
    _model, options, trials = fit_plain(training, validation, settings, SPECTRAL, heard.append)
    assert trials == heard
    assert len(trials) == 12
    best = max(trials, key=lambda each: (each.validation_balanced_accuracy, each.validation_roc_auc))
    assert options == best.options
    turned_over = LabelledPatches(validation.values, ~validation.is_positive)
    _model, others, worse = fit_plain(training, turned_over, settings, SPECTRAL)
    for first, second in zip(trials, worse, strict=True):
        assert second.validation_roc_auc == pytest.approx(1 - first.validation_roc_auc)
    assert others != options


def test_an_option_that_is_given_is_not_tried() -> None:
    settings = ProspectSettings(network="forest", options={"min_samples_leaf": 5, "trees": 10})
    model, options, trials = fit_plain(labelled(60, 1), labelled(40, 2), settings, SPECTRAL)
    assert len(trials) == 1
    assert options == {"trees": 10, "min_samples_leaf": 5}
    assert len(model.estimator.estimators_) == 10


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("svm", {"trees": 3}, "unknown option 'trees' of svm: choose among C, gamma"),
        ("majority", {"C": 3}, "unknown option 'C' of majority: choose among none"),
        ("svm", {"C": 0}, "option C is 0: it must be a number above 0"),
        ("svm", {"C": "much"}, "option C is 'much'"),
        ("svm", {"C": True}, "option C is True"),
        ("forest", {"trees": 2.5}, "option trees is 2.5: it must be a whole number above 0"),
    ],
)
def test_options_that_do_not_exist_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_plain(labelled(30, 1), labelled(30, 2), ProspectSettings(network=kind, options=options), SPECTRAL)


@pytest.mark.parametrize("kind", ["svm", "forest", "majority"])
def test_one_class_alone_is_refused(kind: str) -> None:
    alone = LabelledPatches(labelled(30, 1).values, np.zeros(30, bool))
    with pytest.raises(UsageError, match="validation part has 30 patches, all without ore"):
        fit_plain(labelled(30, 1), alone, ProspectSettings(network=kind), SPECTRAL)


def test_margins_that_mean_the_opposite_on_validation_are_not_turned_round() -> None:
    """A calibration of negative slope would make a model of its opposite, behind the user's back."""
    validation = labelled(80, 2)
    settings = ProspectSettings(network="svm", options={"C": 1.0, "gamma": 0.3})
    model, _options, _trials = fit_plain(
        labelled(150, 1), LabelledPatches(validation.values, ~validation.is_positive), settings, SPECTRAL
    )
    assert model.calibration is None
    judged = labelled(200, 3)
    assert balanced_accuracy(judged.is_positive, model.patch_probabilities(judged.values) >= 0.5) > 0.9


@pytest.mark.parametrize("kind", ["svm", "forest", "majority"])
def test_a_stored_model_answers_as_before(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, values = fitted(kind), labelled(50, 3).values
    again = load_plain(kind, SPECTRAL, model.as_bytes(), "model m")
    np.testing.assert_array_equal(again.patch_probabilities(values), model.patch_probabilities(values))
    monkeypatch.setattr(baselines, "_AT_ONCE", 7)
    np.testing.assert_array_equal(again.patch_probabilities(values), model.patch_probabilities(values))


def stored(estimator: Any, calibration: Any = None) -> bytes:
    return bytes(skops.io.dumps({"estimator": estimator, "calibration": calibration}))


def test_what_is_no_model_of_its_kind_is_refused() -> None:
    forest, machine = fitted("forest"), fitted("svm")
    endless = copy.deepcopy(machine)
    endless.estimator.steps[1][1].support_vectors_[0, 0] = np.nan
    cases = [
        ("forest", pickle.dumps(forest), "no model written by skops"),
        ("forest", b"", "no model written by skops"),
        ("forest", forest.as_bytes()[:-100], "no model written by skops"),
        ("forest", stored(Fraction(1, 3)), "types that are not trusted.*Fraction"),
        ("forest", stored(LinearRegression()), "types that are not trusted: .*LinearRegression"),
        ("forest", stored(RandomForestClassifier()), "does not answer barren and ore"),
        ("svm", forest.as_bytes(), "it holds a RandomForestClassifier"),
        ("forest", machine.as_bytes(), "it holds a Pipeline"),
        ("forest", stored(forest.estimator, LogisticRegression()), "its calibration is none"),
        ("forest", bytes(skops.io.dumps([forest.estimator])), "it has other parts"),
        ("svm", endless.as_bytes(), "not finite"),
        ("gcn", forest.as_bytes(), "is a gcn"),
    ]
    for kind, weights, message in cases:
        with pytest.raises(UsageError, match=message):
            load_plain(kind, SPECTRAL, weights, "model m")
    for model in (forest, machine):
        with pytest.raises(UsageError, match="features, the channels give"):
            load_plain(model.kind, SPECTRAL[:2], model.as_bytes(), "model m")


def test_a_tree_that_leads_nowhere_is_refused() -> None:
    """scikit-learn follows the numbers of a tree unseen: a loop would never end, a far node crash."""
    forest = fitted("forest")
    nodes = forest.estimator.estimators_[3].tree_.__getstate__()["nodes"]
    assert leads_to_leaves(nodes, 6)
    assert not leads_to_leaves(nodes[:0], 6)
    for name, value in (
        *(("left_child", 0), ("left_child", nodes["right_child"][0]), ("left_child", -1)),
        *(("right_child", 10_000), ("feature", 6), ("feature", -2), ("threshold", np.nan)),
    ):
        changed = nodes.copy()
        changed[name][0] = value
        assert not leads_to_leaves(changed, 6), (name, value)


def with_tree(model: PlainModel, **changed: Any) -> bytes:
    """The forest with another state of its first tree."""
    first = model.estimator.estimators_[0]
    tree = Tree(6, np.array([2]), 1)
    tree.__setstate__(first.tree_.__getstate__() | changed)
    first.tree_ = tree
    return model.as_bytes()


def crashing_files() -> dict[str, bytes]:
    """Forests whose first question would be asked far out of memory."""
    state = fitted("forest").estimator.estimators_[0].tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes["left_child"][0] = nodes["right_child"][0] = 2**40
    empty = with_tree(fitted("forest"), nodes=nodes, node_count=0)
    disguised = fitted("forest")
    other = ExtraTreesRegressor(2, random_state=0).fit(np.zeros((9, 6)), np.arange(9.0))
    inner = Tree(6, np.array([1]), 1)
    inner.__setstate__(
        {"max_depth": 1, "node_count": len(nodes), "nodes": nodes, "values": state["values"][:, :, :1].copy()}
    )
    other.estimators_[0].tree_ = inner
    other.node_count = other.capacity = 1
    other.n_features, other.feature, other.value = 6, np.array([-2]), np.array([0.5])
    other.children_left = other.children_right = np.array([-1])
    disguised.estimator.estimators_[0].tree_ = other
    return {"empty": empty, "disguised": disguised.as_bytes()}


ASK = """
import sys
from pathlib import Path
import numpy as np
from db.errors import UsageError
from inference.prospect.baselines import load_plain
from tests.unit.prospect_patches import SPECTRAL
for path in sys.argv[1:]:
    try:
        model = load_plain("forest", SPECTRAL, Path(path).read_bytes(), "model m")
    except UsageError as error:
        print("refused:", error)
    else:
        model.patch_probabilities(np.zeros((8, 9, 3), np.float32))
"""


def test_files_made_to_crash_are_refused(tmp_path: Path) -> None:
    """In a process of its own, which alone would end."""
    for name, weights in crashing_files().items():
        (tmp_path / name).write_bytes(weights)
    # -c looks for modules where it runs
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(tmp_path / "empty"), str(tmp_path / "disguised")],
        capture_output=True, text=True, timeout=300, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    empty, disguised = done.stdout.splitlines()
    assert "a tree of it leads nowhere" in empty
    assert "types that are not trusted: " in disguised
    assert "ExtraTreesRegressor" in disguised


def test_answers_that_are_no_probabilities_are_refused() -> None:
    values = fitted("forest").estimator.estimators_[0].tree_.value
    for wrong in (values * 2, values * 0.5, values - 1, values * np.nan):
        with pytest.raises(UsageError, match="no probabilities"):
            load_plain("forest", SPECTRAL, with_tree(fitted("forest"), values=wrong), "model m")
    for trees in ([], None, [LogisticRegression()]):
        forest = fitted("forest")
        forest.estimator.estimators_ = trees
        with pytest.raises(UsageError, match="its trees are none"):
            load_plain("forest", SPECTRAL, forest.as_bytes(), "model m")


def test_the_commonest_answer_answers_by_the_shares_learned() -> None:
    """Other strategies of scikit-learn answer at random."""
    for changed in (
        *({"_strategy": name, "strategy": name} for name in ("stratified", "uniform", "most_frequent")),
        *({"_strategy": "stratified"}, {"strategy": "constant"}),
        *({"class_prior_": np.array(each)} for each in ([0.5, 0.6], [1.5, -0.5], [np.nan, 1], [1.0])),
    ):
        model = fitted("majority")
        vars(model.estimator).update(changed)
        with pytest.raises(UsageError, match=r"by the strategy|shares of the|class_prior_|not finite"):
            load_plain("majority", SPECTRAL, model.as_bytes(), "model m")


def test_a_support_vector_machine_with_parts_of_another_kind_is_refused() -> None:
    for step, name, value in (
        (0, "scale_", np.ones(7)),
        (0, "scale_", np.zeros(3)),
        (0, "mean_", np.zeros(3, np.float32)),
        (0, "n_features_in_", 7),
        (1, "_n_support", np.array([-1, 4], np.int32)),
        (1, "_intercept_", np.array([np.inf])),
        (1, "_gamma", np.nan),
        (1, "classes_", np.array([True, False])),
    ):
        model = fitted("svm")
        setattr(model.estimator.steps[step][1], name, value)
        with pytest.raises(UsageError, match="not those of a svm"):
            load_plain("svm", SPECTRAL, model.as_bytes(), "model m")
    for name, value in (("coef_", np.array([[-1.0]])), ("coef_", np.ones((2, 1))), ("intercept_", None)):
        model = fitted("svm")
        setattr(model.calibration, name, value)
        with pytest.raises(UsageError, match="not those of a svm"):
            load_plain("svm", SPECTRAL, model.as_bytes(), "model m")
    odd = fitted("svm")
    before = odd.patch_probabilities(labelled(20, 3).values)
    # of what else a file says nothing counts
    odd.estimator.steps[1][1]._impl = "nu_svr"
    again = load_plain("svm", SPECTRAL, odd.as_bytes(), "model m")
    np.testing.assert_array_equal(again.patch_probabilities(labelled(20, 3).values), before)


def test_a_model_of_another_scikit_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = fitted("forest").as_bytes()
    monkeypatch.setattr("sklearn.base.__version__", "1.2.0")
    with pytest.raises(UsageError, match="trained with another scikit-learn"):
        load_plain("forest", SPECTRAL, weights, "model m")


def test_the_seed_decides_the_forest() -> None:
    training, validation = labelled(80, 1, shift=0.3), labelled(40, 2, shift=0.3)
    settings = ProspectSettings(network="forest", options={"trees": 10})
    values = labelled(60, 3, shift=0.3).values
    first, again, other = (
        fit_plain(training, validation, replace(settings, seed=seed), SPECTRAL)[0].patch_probabilities(values)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
