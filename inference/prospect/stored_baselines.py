"""Plain models as they come out of a file: known parts only, each looked at, then made anew of plain numbers.

scikit-learn and libsvm follow the numbers of a fitted model without looking at them again: a wrong one ends
the process, and a file from elsewhere may hold any. skops keeps foreign code out, no more. So nothing of what
it loads answers a question: numbers that passed go into fresh estimators, and all else is left behind.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import skops.io
from numpy.typing import DTypeLike, NDArray
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree
from skops.io.exceptions import UntrustedTypesFoundException

from db.errors import UsageError

TRUSTED = ("sklearn.tree._tree.Tree",)
"""Types that skops must be told to make, beside the public ones of scikit-learn and NumPy."""
KNOWN_PARTS = frozenset(
    [
        ("DictNode", "builtins.dict"),
        ("JsonNode", "builtins.str"),
        ("ListNode", "builtins.list"),
        ("TupleNode", "builtins.tuple"),
        ("TypeNode", "builtins.str"),
        ("NdArrayNode", "numpy.ndarray"),
        ("NdArrayNode", "numpy.float64"),
        ("NdArrayNode", "numpy.int64"),
        ("TreeNode", "sklearn.tree._tree.Tree"),
        *(
            ("ObjectNode", f"{each.__module__}.{each.__name__}")
            for each in (
                DecisionTreeClassifier,
                DummyClassifier,
                LogisticRegression,
                Pipeline,
                RandomForestClassifier,
                StandardScaler,
                SVC,
            )
        ),
    ]
)
"""All that plain models consist of: how skops makes a part, and of which type."""
MAX_BYTES = 2_000_000_000
"""Of the arrays in a file, each counted as often as it is asked for."""
SUM_TOLERANCE = 1e-6
_Made = TypeVar("_Made")


class _UnlikeError(Exception):
    """A part is not what a model of its kind has there; says what it is."""


def read_plain(kind: str, weights: bytes, features: int, what: str) -> tuple[Any, LogisticRegression | None]:
    """Estimator and calibration out of a file of skops, made anew of its numbers.

    Args:
        kind: one of `inference.prospect.settings.ESTIMATORS`.
        weights: the bytes.
        features: that the model's channels give.
        what: name for messages.

    Raises:
        UsageError: see `inference.prospect.baselines.load_plain`.

    """
    unknown = _unread(lambda: _unknown_parts(weights), what)
    if unknown:
        raise UsageError(f"{what} holds types that are not trusted: {', '.join(unknown)[:200]}")
    content = _unread(lambda: _loaded(weights), what)
    try:
        return _made_anew(kind, content, features)
    except _UnlikeError as problem:
        raise UsageError(
            f"the weights of {what} are not those of a {kind}: {problem}; train it again"
        ) from problem


def _unread(read: Callable[[], _Made], what: str) -> _Made:
    """What ``read`` gives; what it raises is the file's fault, and is told so."""
    try:
        return read()
    except UntrustedTypesFoundException as error:
        raise UsageError(f"{what} holds types that are not trusted: {error}") from error
    except InconsistentVersionWarning as error:
        raise UsageError(f"{what} was trained with another scikit-learn: {error}; train it again") from error
    # skops names no set of what it raises for a file that is none of its own
    except Exception as error:
        raise UsageError(f"the weights of {what} are no model written by skops: {error!r:.200}") from error


def _loaded(weights: bytes) -> Any:
    with warnings.catch_warnings():
        # a forest that another version wrote may answer otherwise, without an error
        warnings.simplefilter("error", InconsistentVersionWarning)
        return skops.io.loads(weights, trusted=list(TRUSTED))


def _unknown_parts(weights: bytes) -> list[str]:
    """Types in a file that no plain model consists of, before any is made."""
    unknown: set[str] = set()
    size = 0
    with zipfile.ZipFile(io.BytesIO(weights)) as archive:
        waiting = [json.loads(archive.read("schema.json"))]
        while waiting:
            each = waiting.pop()
            if isinstance(each, list):
                waiting += each
            if not isinstance(each, dict):
                continue
            waiting += each.values()
            if "__loader__" in each:
                name = f"{each.get('__module__')}.{each.get('__class__')}"
                if (each["__loader__"], name) not in KNOWN_PARTS:
                    unknown.add(name)
            if isinstance(each.get("file"), str):
                size += archive.getinfo(each["file"]).file_size
                if size > MAX_BYTES:
                    raise ValueError(f"its arrays take more than {MAX_BYTES:,} bytes")
    return sorted(unknown)


def _made_anew(kind: str, content: Any, features: int) -> tuple[Any, LogisticRegression | None]:
    if type(content) is not dict or set(content) != {"estimator", "calibration"}:
        raise _UnlikeError("it has other parts")
    estimator, calibration = content["estimator"], content["calibration"]
    types = {"svm": Pipeline, "forest": RandomForestClassifier, "majority": DummyClassifier}
    if type(estimator) is not types[kind]:
        raise _UnlikeError(f"it holds a {type(estimator).__name__}")
    if calibration is not None and (kind != "svm" or type(calibration) is not LogisticRegression):
        raise _UnlikeError("its calibration is none")
    if kind == "majority":
        return _prior(vars(estimator)), None
    if kind == "forest":
        return _forest(vars(estimator), features), None
    return _machine(vars(estimator), features), None if calibration is None else _curve(vars(calibration))


def _prior(stored: Mapping[str, Any]) -> DummyClassifier:
    """The commonest answer; other strategies answer by chance, or always the same whatever was learned."""
    _require_classes(stored)
    if stored.get("strategy") != "prior" or stored.get("_strategy") != "prior":
        raise _UnlikeError(f"it answers by the strategy {stored.get('_strategy')!r:.50}")
    shares = _numbers(stored, "class_prior_", (2,))
    if shares.min() < 0 or abs(shares.sum() - 1) > SUM_TOLERANCE:
        raise _UnlikeError("its shares of the classes do not make up one")
    made = DummyClassifier(strategy="prior")
    made._strategy, made.sparse_output_ = "prior", False
    made.n_features_in_, made.n_outputs_, made.n_classes_ = 0, 1, 2
    made.classes_, made.class_prior_ = np.array([False, True]), shares
    return made


def _forest(stored: Mapping[str, Any], features: int) -> RandomForestClassifier:
    _require_classes(stored)
    _require_features(stored, features)
    trees = stored.get("estimators_")
    if (
        type(trees) is not list
        or not trees
        or any(type(each) is not DecisionTreeClassifier for each in trees)
    ):
        raise _UnlikeError("its trees are none")
    made = RandomForestClassifier(len(trees))
    made.n_features_in_, made.n_outputs_, made.n_classes_ = features, 1, 2
    made.classes_ = np.array([False, True])
    made.estimators_ = [_decisions(vars(each).get("tree_"), features) for each in trees]
    return made


def _decisions(stored: Any, features: int) -> DecisionTreeClassifier:
    if type(stored) is not Tree:
        raise _UnlikeError("a tree of it is none")
    if (stored.n_features, stored.n_outputs, stored.max_n_classes) != (features, 1, 2):
        raise _UnlikeError("a tree of it answers another question")
    count, state = stored.node_count, stored.__getstate__()
    if not 1 <= count <= len(state["nodes"]):
        raise _UnlikeError("a tree of it leads nowhere")
    nodes, values = state["nodes"][:count].copy(), state["values"][:count].copy()
    if not leads_to_leaves(nodes, features):
        raise _UnlikeError("a tree of it leads nowhere")
    # NaN fails each comparison
    is_share = (values >= 0) & (values <= 1)
    if not is_share.all() or not (np.abs(values.sum(axis=2) - 1) <= SUM_TOLERANCE).all():
        raise _UnlikeError("a tree of it answers with no probabilities")
    tree = Tree(features, np.array([2], np.intp), 1)
    tree.__setstate__({"max_depth": 0, "node_count": count, "nodes": nodes, "values": values})
    made = DecisionTreeClassifier()
    made.n_features_in_, made.n_outputs_, made.n_classes_ = features, 1, 2
    made.classes_, made.tree_ = np.array([0.0, 1.0]), tree
    return made


def leads_to_leaves(nodes: NDArray[Any], features: int) -> bool:
    """Whether every way through a tree ends in a leaf and asks for features that there are.

    Args:
        nodes: (n,) as scikit-learn stores them, the root first; children stand behind their parents.
        features: how many there are.

    """
    numbers, left, right = np.arange(len(nodes)), nodes["left_child"], nodes["right_child"]
    is_leaf = (left == -1) & (right == -1)
    is_split = (nodes["feature"] >= 0) & (nodes["feature"] < features) & ~np.isnan(nodes["threshold"])
    for children in (left, right):
        is_split &= (children > numbers) & (children < len(nodes))
    if not (len(nodes) and (is_leaf | is_split).all()):
        return False
    # every node but the root is the child of one
    children = np.concatenate([left[~is_leaf], right[~is_leaf]])
    return np.array_equal(np.sort(children), numbers[1:])


def _machine(stored: Mapping[str, Any], features: int) -> Pipeline:
    steps = stored.get("steps")
    pairs = type(steps) is list and all(type(step) is tuple and len(step) == 2 for step in steps)
    if not pairs or [type(step) for _name, step in stored["steps"]] != [StandardScaler, SVC]:
        raise _UnlikeError("its steps are others")
    scales, machine = (vars(step) for _name, step in stored["steps"])
    _require_classes(machine)
    for each in (scales, machine):
        _require_features(each, features)
    made_scaler = StandardScaler()
    made_scaler.n_features_in_ = features
    made_scaler.mean_ = _numbers(scales, "mean_", (features,))
    made_scaler.scale_ = _numbers(scales, "scale_", (features,))
    if not (made_scaler.scale_ > 0).all():
        raise _UnlikeError("it holds no numbers to divide by")
    return make_pipeline(made_scaler, _support_vectors(machine, features))


def _support_vectors(stored: Mapping[str, Any], features: int) -> SVC:
    """Of one size all, for libsvm does not look itself."""
    unlike = _UnlikeError("its support vectors do not go together")
    count = (_shape(stored, "support_") or (0,))[0]
    gamma = stored.get("_gamma")
    if count < 1 or stored.get("kernel") != "rbf" or stored.get("_sparse") is not False:
        raise unlike
    if not isinstance(gamma, (int, float)) or isinstance(gamma, bool):
        raise unlike
    if not 0 < gamma < np.inf:
        raise _UnlikeError("it holds numbers that are not finite, or a width that is none")
    shapes = {"support_vectors_": (count, features), "_dual_coef_": (1, count), "_intercept_": (1,)}
    sizes = {"support_": (count,), "_n_support": (2,)}
    if any(_shape(stored, name) != shape for name, shape in {**shapes, **sizes}.items()):
        raise unlike
    counts = _numbers(stored, "_n_support", (2,), np.int32)
    # as Python's numbers: their sum may pass 32 bits
    if counts.min() < 0 or sum(counts.tolist()) != count:
        raise unlike
    made = SVC(gamma=float(gamma), class_weight="balanced")
    made._sparse, made._gamma, made._effective_probability = False, float(gamma), False
    made.n_features_in_, made.classes_ = features, np.array([False, True])
    made.shape_fit_, made.fit_status_ = (count, features), 0
    made.support_ = _numbers(stored, "support_", (count,), np.int32)
    made._n_support = counts
    for name, shape in shapes.items():
        setattr(made, name, _numbers(stored, name, shape))
    made.dual_coef_, made.intercept_ = -made._dual_coef_, -made._intercept_
    made._probA = made._probB = np.empty(0)
    return made


def _curve(stored: Mapping[str, Any]) -> LogisticRegression:
    _require_classes(stored)
    made = LogisticRegression(class_weight="balanced")
    made.n_features_in_, made.classes_ = 1, np.array([False, True])
    made.coef_ = _numbers(stored, "coef_", (1, 1))
    made.intercept_ = _numbers(stored, "intercept_", (1,))
    if made.coef_[0, 0] <= 0:
        raise _UnlikeError("its calibration turns the answers round")
    return made


def _require_classes(stored: Mapping[str, Any]) -> None:
    classes = stored.get("classes_")
    if type(classes) is not np.ndarray or classes.dtype != np.bool_ or classes.tolist() != [False, True]:
        raise _UnlikeError("it does not answer barren and ore")


def _require_features(stored: Mapping[str, Any], features: int) -> None:
    found = stored.get("n_features_in_")
    if type(found) is not int or found != features:
        raise _UnlikeError(f"it takes {found!r:.20} features, the channels give {features}")


def _shape(stored: Mapping[str, Any], name: str) -> tuple[int, ...]:
    found = stored.get(name)
    return found.shape if type(found) is np.ndarray else ()


def _numbers(
    stored: Mapping[str, Any], name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """A copy of an array of a model, C-contiguous."""
    found = stored.get(name)
    if type(found) is not np.ndarray or found.shape != shape or found.dtype != np.dtype(dtype):
        raise _UnlikeError(f"its {name} is not what it should be")
    if not np.isfinite(found).all():
        raise _UnlikeError("it holds numbers that are not finite")
    return np.array(found, order="C")
