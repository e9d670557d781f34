"""What a model goes by: how much worse it becomes when channels are shuffled.

Permutation importance (Breiman 2001, Random Forests, Machine Learning 45; for any model Fisher, Rudin and
Dominici 2019): the patches of a channel are dealt out among the patches anew, so that the channel keeps its
values and tells nothing. Channels that say the same share their importance, and each alone seems to have
little; therefore groups are shuffled too. What a model can do without a channel, only training without it
tells: `inference.prospect.learning.learn` with ``places``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from db.errors import UsageError
from inference.prospect.channels import Channel
from inference.prospect.train import balanced_accuracy

REPEATS = 10
Probabilities = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Importance:
    """How much worse a model became.

    Attributes:
        name: of the channel, or of the group: ``all geology``.
        channels: names of the channels that were shuffled together.
        balanced_accuracy_drop, roc_auc_drop: mean over the repeats; below 0: it became better.
        balanced_accuracy_spread, roc_auc_spread: standard deviation over the repeats, which is that of the
            shuffling alone, not of the choice of the patches.
        repeats: how often they were shuffled.

    """

    name: str
    channels: tuple[str, ...]
    balanced_accuracy_drop: float
    balanced_accuracy_spread: float
    roc_auc_drop: float
    roc_auc_spread: float
    repeats: int = REPEATS

    def as_json(self) -> dict[str, Any]:
        """For a report."""
        return {**vars(self), "channels": list(self.channels)}


def channel_groups(channels: Sequence[Channel]) -> dict[str, tuple[int, ...]]:
    """Places of the channels by group: each alone, then all of a kind where a kind has several.

    Layers of evidence that map geology are among those of geology.
    """
    groups: dict[str, tuple[int, ...]] = {channel.name: (place,) for place, channel in enumerate(channels)}
    for kind in ("spectral", "evidence", "geology"):
        places = tuple(
            place
            for place, channel in enumerate(channels)
            if kind == ("geology" if channel.tells_geology else channel.kind)
        )
        if len(places) > 1:
            groups[f"all {kind}"] = places
    return groups


def permutation_importance(
    probabilities: Probabilities,
    values: NDArray[np.float32],
    is_positive: NDArray[np.bool_],
    channels: Sequence[Channel],
    threshold: float,
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> list[Importance]:
    """Importance of channels and groups of them, in the order of the groups.

    Args:
        probabilities: of ore, (n,) of patches (n, nodes, channels).
        values: standardised patches, best those of the test part; they are not changed.
        is_positive: (n,) their labels, both classes.
        channels: of the patches.
        threshold: probability from which a patch is called ore-bearing.
        groups: places of the channels to shuffle together, by name; None: see `channel_groups`.
        repeats: how often each is shuffled. Every group is dealt out alike.
        seed: of the shuffling.

    Raises:
        UsageError: one class only, or fewer than two patches.

    """
    if not is_positive.any() or is_positive.all():
        raise UsageError("importance needs patches with and without ore")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(values)) for _ in range(repeats)]
    whole = _figures(probabilities(values), is_positive, threshold)
    shuffled = values.copy()
    found = []
    for name, group in (channel_groups(channels) if groups is None else groups).items():
        places = list(group)
        drops = np.empty((repeats, 2))
        for repeat, order in enumerate(orders):
            # whole patches change places, each with its nodes in order
            shuffled[:, :, places] = values[order][:, :, places]
            drops[repeat] = whole - _figures(probabilities(shuffled), is_positive, threshold)
        shuffled[:, :, places] = values[:, :, places]
        (accuracy, auc), (accuracy_spread, auc_spread) = drops.mean(axis=0), drops.std(axis=0)
        found.append(
            Importance(
                name=name,
                channels=tuple(channels[place].name for place in places),
                balanced_accuracy_drop=float(accuracy),
                balanced_accuracy_spread=float(accuracy_spread),
                roc_auc_drop=float(auc),
                roc_auc_spread=float(auc_spread),
                repeats=repeats,
            )
        )
    return found


def _figures(
    probabilities: NDArray[np.float32], is_positive: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    """Balanced accuracy and area under the ROC curve."""
    called = probabilities.astype(np.float64) >= threshold
    return np.array(
        [balanced_accuracy(is_positive, called), float(roc_auc_score(is_positive, probabilities))]
    )
