"""Isolation forest: what random cuts soon part from all else is anomalous.

The trees are grown by scikit-learn and kept as plain numbers, which is also how they answer: nothing of a
stored model is executed, and another version of scikit-learn changes no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from db.errors import UsageError
from inference.evidence.methods.answers import MethodAnswer, State, hidden_channels, require_channels
from inference.evidence.methods.features import (
    CELLS_AT_ONCE,
    as_map,
    count_option,
    hidden_table,
    require_options,
    stored_array,
)
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Progress

TREES = 200
SAMPLE = 256
"""Cells that each tree sees."""
_METHOD = "isolation_forest"


@dataclass(frozen=True)
class Isolation:
    """A fitted forest (Liu, Ting and Zhou 2008) on the scaled geochemistry and geophysics.

    Attributes:
        channels: of the ground.
        features: (trees, nodes) int32 channel that a node cuts; of leaves 0.
        thresholds: (trees, nodes) float64: up to this to the left, beyond to the right.
        children: (trees, nodes, 2) int32 left and right, of leaves the leaf itself.
        lengths: (trees, nodes) float64 length of the way to a leaf, and what a full tree would add to it.
        levels: of the deepest tree.
        usual_length: mean length of the ways in a tree of so many cells.
        least: score of the least anomalous cell of the ground it was fitted on.

    """

    channels: tuple[EvidenceChannel, ...]
    features: NDArray[np.int32]
    thresholds: NDArray[np.float64]
    children: NDArray[np.int32]
    lengths: NDArray[np.float64]
    levels: int
    usual_length: float
    least: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """How many trees."""
        return {"trees": len(self.features)}

    def anomaly(
        self,
        ground: EvidenceGround,
        system: MineralSystem,  # noqa: ARG002 - isolated whatever the ore
        progress: Progress | None = None,
    ) -> MethodAnswer:
        """See `FittedMethod`: the score 2^(-length / usual length) above the least of training.

        The system plays no part.
        """
        require_channels(self.channels, ground)
        values, _is_known = hidden_table(ground)
        above = np.maximum(self.scores(values, progress) - self.least, 0)
        return MethodAnswer(as_map(above, ground.is_scored))

    def scores(self, values: NDArray[np.float32], progress: Progress | None = None) -> NDArray[np.float64]:
        """Score (cells,) 0..1 of scaled values (cells, channels); 1 is alone at once."""
        found = np.empty(len(values))
        for begin in range(0, len(values), CELLS_AT_ONCE):
            part = slice(begin, begin + CELLS_AT_ONCE)
            found[part] = self._scores(values[part])
            if progress is not None:
                progress(min(1.0, (begin + CELLS_AT_ONCE) / len(values)))
        return found

    def _scores(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        cells, flat = np.arange(len(values)) * values.shape[1], values.ravel()
        total = np.zeros(len(values))
        for features, thresholds, children, lengths in zip(
            self.features, self.thresholds, self.children, self.lengths, strict=True
        ):
            nodes = np.zeros(len(values), np.int64)
            turns = children.ravel()
            for _level in range(self.levels):
                is_right = flat[cells + features[nodes]] > thresholds[nodes]
                nodes = turns[2 * nodes + is_right].astype(np.int64)
            total += lengths[nodes]
        return np.asarray(np.exp2(-total / (len(self.features) * self.usual_length)), np.float64)

    def state(self) -> State:
        """See `FittedMethod`."""
        return {
            "features": self.features,
            "thresholds": self.thresholds,
            "children": self.children,
            "lengths": self.lengths,
            "numbers": np.array([self.levels, self.usual_length, self.least], np.float64),
        }


def fit_isolation_forest(ground: EvidenceGround, settings: EvidenceSettings, seed: int) -> Isolation:
    """Grow a forest on the judged cells of a ground; what is not known counts as the median.

    Args:
        ground: the evidence.
        settings: options ``trees`` and ``sample``, the cells that each tree sees.
        seed: of the cuts and the cells.

    Raises:
        UsageError: options that do not exist or do not fit, fewer than two cells.

    """
    require_options(settings.options, _METHOD, ("trees", "sample"))
    trees = count_option(settings.options, "trees", TREES, least=1, most=10_000)
    sample = count_option(settings.options, "sample", SAMPLE, least=2, most=100_000)
    values, _is_known = hidden_table(ground)
    if len(values) < 2:
        raise UsageError(f"{ground.area} has one cell with values: a forest needs two at least")
    grown = IsolationForest(n_estimators=trees, max_samples=min(sample, len(values)), random_state=seed).fit(
        values
    )
    forest = _plain(ground.channels, [each.tree_ for each in grown.estimators_], int(grown.max_samples_))
    return replace(forest, least=float(forest.scores(values).min()))


def restore_isolation_forest(
    channels: tuple[EvidenceChannel, ...], state: Mapping[str, NDArray[Any]]
) -> Isolation:
    """What `Isolation.state` gave, checked: every way through a tree stays within it.

    Raises:
        UsageError: arrays that are no forest of these channels.

    """
    features = stored_array(state, "features", (None, None), np.int32, _METHOD)
    shape = features.shape
    children = stored_array(state, "children", (*shape, 2), np.int32, _METHOD)
    levels, usual, least = stored_array(state, "numbers", (3,), np.float64, _METHOD).tolist()
    is_within = features.min() >= 0 and features.max() < len(hidden_channels(channels))
    is_within &= children.min() >= 0 and children.max() < shape[1]
    if not is_within or usual <= 0 or not 0 <= levels <= shape[1]:
        raise UsageError(f"the weights are not those of an {_METHOD} of these channels: train it again")
    thresholds = stored_array(state, "thresholds", shape, np.float64, _METHOD)
    lengths = stored_array(state, "lengths", shape, np.float64, _METHOD)
    return Isolation(channels, features, thresholds, children, lengths, int(levels), usual, least)


def _plain(channels: tuple[EvidenceChannel, ...], trees: list[Any], sample: int) -> Isolation:
    """The trees of scikit-learn as arrays of one size, the room behind shorter ones filled with leaves."""
    shape = (len(trees), max(tree.node_count for tree in trees))
    features, thresholds = np.zeros(shape, np.int32), np.zeros(shape)
    children = np.tile(np.arange(shape[1], dtype=np.int32)[None, :, None], (shape[0], 1, 2))
    lengths = np.zeros(shape)
    levels = 0
    for number, tree in enumerate(trees):
        splits = np.flatnonzero(tree.children_left >= 0)
        features[number, splits] = tree.feature[splits]
        thresholds[number, splits] = tree.threshold[splits]
        children[number, splits, 0] = tree.children_left[splits]
        children[number, splits, 1] = tree.children_right[splits]
        depths = np.zeros(tree.node_count)
        for node in splits:  # parents stand before their children
            depths[children[number, node]] = depths[node] + 1
        lengths[number, : tree.node_count] = depths + _usual_length(tree.n_node_samples)
        levels = max(levels, int(depths.max()))
    [usual] = _usual_length(np.array([sample])).tolist()
    return Isolation(channels, features, thresholds, children, lengths, levels, usual)


def _usual_length(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Mean length of the ways in a random tree of so many cells, equation 1 of Liu and others."""
    large = np.maximum(counts, 3).astype(np.float64)
    usual = 2 * (np.log(large - 1) + np.euler_gamma) - 2 * (large - 1) / large
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, usual))
