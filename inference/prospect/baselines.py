"""Plain models beside the networks: a support vector machine, a random forest, the commonest answer.

The support vector machine sees what the study's saw: the mean spectrum of a patch, without geology; of a
study area the mean of its evidence. The forest sees mean and deviation of every channel. What can be chosen
about them is chosen on the validation patches.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from db.errors import UsageError
from inference.prospect.channels import Channel
from inference.prospect.settings import ESTIMATORS, ProspectSettings
from inference.prospect.stored_baselines import read_plain
from inference.prospect.train import LabelledPatches, balanced_accuracy, require_both_classes

SVM_C = (0.1, 1.0, 10.0, 100.0)
SVM_GAMMA_TIMES_FEATURES = (0.1, 1.0, 10.0)
FOREST_LEAVES = (1, 3, 10)
TREES = 300
_OPTIONS: dict[str, tuple[str, ...]] = {
    "svm": ("C", "gamma"),
    "forest": ("trees", "min_samples_leaf"),
    "majority": (),
}
_AT_ONCE = 4096


@dataclass(frozen=True)
class PlainModel:
    """A fitted model on features of patches.

    Attributes:
        kind: one of `ESTIMATORS`.
        mean_places: channels whose mean over the patch is a feature.
        std_places: channels whose deviation over the patch is a feature, behind the means.
        estimator: of scikit-learn.
        calibration: what makes probabilities of the margins of the support vector machine (Platt 1999),
            fitted on the validation patches with both classes weighing alike; None: the margin's own
            logistic, or the estimator has probabilities.

    """

    kind: str
    mean_places: tuple[int, ...]
    std_places: tuple[int, ...]
    estimator: Any
    calibration: LogisticRegression | None = None

    def features(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (n, features) of standardised patches (n, nodes, channels)."""
        return patch_features(values, self.mean_places, self.std_places)

    def feature_probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of ore (n,) of features (n, features); both classes weigh alike in it."""
        found = np.empty(len(features), np.float32)
        for first in range(0, len(features), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            found[part] = self._probabilities(features[part])
        return found

    def patch_probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of ore (n,) of standardised patches (n, nodes, channels)."""
        return self.feature_probabilities(self.features(values))

    def _probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.kind != "svm":
            return np.asarray(self.estimator.predict_proba(features)[:, 1], np.float64)
        margins = np.asarray(self.estimator.decision_function(features), np.float64)
        if self.calibration is None:
            return 1 / (1 + np.exp(-margins))
        return np.asarray(self.calibration.predict_proba(margins[:, None])[:, 1], np.float64)

    def as_bytes(self) -> bytes:
        """The model as skops writes it: a zip of plain parts, without pickles."""
        content = {"estimator": self.estimator, "calibration": self.calibration}
        return bytes(skops.io.dumps(content, compression=zipfile.ZIP_DEFLATED))


@dataclass(frozen=True)
class PlainTrial:
    """One choice of options, judged on the validation patches.

    Attributes:
        options: by name.
        validation_balanced_accuracy: at the estimator's own threshold.
        validation_roc_auc: area under the ROC curve.

    """

    options: dict[str, Any]
    validation_balanced_accuracy: float
    validation_roc_auc: float

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return {
            **self.options,
            "validation_balanced_accuracy": self.validation_balanced_accuracy,
            "validation_roc_auc": self.validation_roc_auc,
        }


def patch_features(
    values: NDArray[np.float32], mean_places: Sequence[int], std_places: Sequence[int]
) -> NDArray[np.float32]:
    """Means and deviations (n, features) over the nodes of patches (n, nodes, channels)."""
    means = values[:, :, list(mean_places)].mean(axis=1, dtype=np.float64)
    stds = values[:, :, list(std_places)].std(axis=1, dtype=np.float64)
    return np.concatenate([means, stds], axis=1).astype(np.float32)


def feature_places(kind: str, channels: Sequence[Channel]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels whose means, and channels whose deviations, a plain model sees."""
    every = tuple(range(len(channels)))
    if kind == "svm":
        for wanted in ("spectral", "evidence"):
            places = tuple(
                place
                for place in every
                if channels[place].kind == wanted and not channels[place].tells_geology
            )
            if places:
                return places, ()
        return every, ()
    return (every, every) if kind == "forest" else ((), ())


def fit_plain(
    training: LabelledPatches,
    validation: LabelledPatches,
    settings: ProspectSettings,
    channels: Sequence[Channel],
    on_trial: Callable[[PlainTrial], None] | None = None,
) -> tuple[PlainModel, dict[str, Any], list[PlainTrial]]:
    """Fit a plain model; gives it, the options it was fitted with, and the trials these were chosen from.

    Of the trials the one of highest balanced accuracy on the validation patches is taken; of equals that of
    the larger area under the ROC curve, then the first. An option that the settings give is not tried.

    Args:
        training: to learn from.
        validation: to choose the options by; from other blocks of ground.
        settings: the kind, its options, the seed.
        channels: of the patches.
        on_trial: called after each trial.

    Raises:
        UsageError: one class only in training or validation, an option that does not exist.

    """
    require_both_classes(training.is_positive, "training")
    require_both_classes(validation.is_positive, "validation")
    kind = settings.network
    means, stds = feature_places(kind, channels)
    features = patch_features(training.values, means, stds)
    judged = patch_features(validation.values, means, stds)
    fitted: list[tuple[PlainTrial, Any]] = []
    for options in _choices(kind, settings.options, features.shape[1]):
        estimator = _new_estimator(kind, options, settings.seed)
        _fit(estimator, features, training.is_positive, options)
        scores, threshold = _scores(kind, estimator, judged)
        trial = PlainTrial(
            options,
            balanced_accuracy(validation.is_positive, scores >= threshold),
            float(roc_auc_score(validation.is_positive, scores)),
        )
        fitted.append((trial, estimator))
        if on_trial is not None:
            on_trial(trial)
    trials = [trial for trial, _estimator in fitted]
    best, estimator = max(
        fitted, key=lambda each: (each[0].validation_balanced_accuracy, each[0].validation_roc_auc)
    )
    calibration = None
    if kind == "svm":
        calibration = _calibration(_scores(kind, estimator, judged)[0], validation.is_positive)
    return PlainModel(kind, means, stds, estimator, calibration), best.options, trials


def load_plain(kind: str, channels: Sequence[Channel], weights: bytes, what: str) -> PlainModel:
    """The model that `PlainModel.as_bytes` wrote.

    Nothing of a type that is not known is made, and no code of a file is run. What answers is made anew of
    the numbers of the file, after these were checked, see `stored_baselines`.

    Args:
        kind: one of `ESTIMATORS`.
        channels: the model's.
        weights: the bytes.
        what: name for messages.

    Raises:
        UsageError: no skops file, types that are not trusted, another model, other features, numbers that are
            not finite, or another version of scikit-learn wrote it.

    """
    if kind not in ESTIMATORS:
        raise UsageError(f"{what} is a {kind}: it must be one of {', '.join(ESTIMATORS)}")
    means, stds = feature_places(kind, channels)
    estimator, calibration = read_plain(kind, weights, len(means) + len(stds), what)
    return PlainModel(kind, means, stds, estimator, calibration)


def _choices(kind: str, given: Mapping[str, Any], features: int) -> list[dict[str, Any]]:
    """Options to try, with those that are given fixed."""
    for name, value in given.items():
        if name not in _OPTIONS[kind]:
            known = ", ".join(_OPTIONS[kind]) or "none"
            raise UsageError(f"unknown option {name!r} of {kind}: choose among {known}")
        is_count = name in ("trees", "min_samples_leaf")
        is_number = isinstance(value, (int,) if is_count else (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value <= 1e6:
            raise UsageError(f"option {name} is {value!r}: it must be a {'whole ' * is_count}number above 0")
    if kind == "majority":
        return [{}]
    if kind == "svm":
        grid: dict[str, tuple[Any, ...]] = {
            "C": SVM_C,
            "gamma": tuple(times / features for times in SVM_GAMMA_TIMES_FEATURES),
        }
    else:
        grid = {"trees": (TREES,), "min_samples_leaf": FOREST_LEAVES}
    tried = {name: (given[name],) if name in given else values for name, values in grid.items()}
    return [dict(zip(tried, values, strict=True)) for values in product(*tried.values())]


def _new_estimator(kind: str, options: Mapping[str, Any], seed: int) -> Any:
    if kind == "majority":
        return DummyClassifier(strategy="prior")
    if kind == "svm":
        machine = SVC(C=options["C"], gamma=options["gamma"], class_weight="balanced")
        return make_pipeline(StandardScaler(), machine)
    return RandomForestClassifier(
        options["trees"],
        min_samples_leaf=options["min_samples_leaf"],
        class_weight="balanced",
        random_state=seed,
    )


def _fit(
    estimator: Any, features: NDArray[np.float32], is_positive: NDArray[np.bool_], options: Mapping[str, Any]
) -> None:
    try:
        estimator.fit(features, is_positive)
    except ValueError as error:
        raise UsageError(f"options {dict(options)} do not fit the patches: {error}") from error


def _scores(kind: str, estimator: Any, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Scores (n,), and from which one on the estimator itself answers ore."""
    if kind == "svm":
        return np.asarray(estimator.decision_function(features), np.float64), 0.0
    return np.asarray(estimator.predict_proba(features)[:, 1], np.float64), 0.5


def _calibration(margins: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> LogisticRegression | None:
    """Logistic curve over the margins; None where higher margins do not mean more ore on these patches."""
    # the mild penalty of the default keeps the curve from becoming a step where margins separate all patches
    curve = LogisticRegression(class_weight="balanced").fit(margins[:, None], is_positive)
    return curve if float(curve.coef_[0, 0]) > 0 else None
