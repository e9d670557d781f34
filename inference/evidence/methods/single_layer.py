"""A plain answer: the ore element of most weight, where its content is high."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.errors import UsageError
from inference.evidence.anomaly import base_element, ore_weights, robust_scale
from inference.evidence.methods.answers import MethodAnswer, State, require_channels
from inference.evidence.methods.features import require_options, stored_array
from inference.evidence.methods.mahalanobis import log_contents
from inference.evidence.system_types import MineralSystem
from inference.evidence.types import EvidenceChannel, EvidenceGround, EvidenceSettings, Progress


@dataclass(frozen=True)
class SingleLayer:
    """One layer of geochemistry: natural logarithm of its content, above the least of the ground it knows.

    Which layer is best could be known from deposits only, and no method may look at those. So it is the
    layer of the ore element that weighs most in the mineral system.

    Attributes:
        channels: of the ground.
        place: of the layer among the geochemistry.
        least: logarithm of the least content of judged ground.
        scale: robust standard deviation of the logarithms.

    """

    channels: tuple[EvidenceChannel, ...]
    place: int
    least: float
    scale: float
    history: list[dict[str, Any]] = field(default_factory=list)
    validation_loss: float | None = None

    @property
    def layer(self) -> str:
        """Its name."""
        return _geochemistry(self.channels)[self.place].name

    @property
    def facts(self) -> dict[str, Any]:
        """Which layer it is."""
        return {"layer": self.layer}

    def anomaly(
        self,
        ground: EvidenceGround,
        system: MineralSystem,  # noqa: ARG002 - chosen at the fitting
        progress: Progress | None = None,
    ) -> MethodAnswer:
        """See `FittedMethod`; in robust standard deviations of the logarithm above the least of training."""
        require_channels(self.channels, ground)
        above = (log_contents(ground)[self.place] - self.least) / self.scale
        if progress is not None:
            progress(1.0)
        note = f"layer {self.layer} alone: natural logarithm of its content"
        return MethodAnswer(np.maximum(above, 0).astype(np.float32), note=note)

    def state(self) -> State:
        """See `FittedMethod`."""
        return {"place": np.array([self.place], np.int64), "range": np.array([self.least, self.scale])}


def fit_single_layer(
    ground: EvidenceGround, system: MineralSystem, settings: EvidenceSettings
) -> SingleLayer:
    """Choose the layer, and the range of its contents on judged ground.

    Of layers that weigh the same the first is taken.

    Args:
        ground: the evidence.
        system: weights the elements.
        settings: without options.

    Raises:
        UsageError: an option, none of the system's elements among the layers, no content above 0.

    """
    require_options(settings.options, "single_layer", ())
    channels = _geochemistry(ground.channels)
    weights = ore_weights(channels, system)
    whole = dict.fromkeys(weights, 0.0)
    for place in weights:  # a weight is dealt out among the layers of an element
        same = base_element(str(channels[place].element))
        whole[place] = sum(
            weights[each] for each in weights if base_element(str(channels[each].element)) == same
        )
    place = max(whole, key=lambda each: (whole[each], -each))
    logs = log_contents(ground)[place]
    found = logs[np.isfinite(logs)]
    if not len(found):
        raise UsageError(f"layer {channels[place].name} of {ground.area} holds no content above 0: check it")
    return SingleLayer(ground.channels, place, float(found.min()), robust_scale(found))


def restore_single_layer(
    channels: tuple[EvidenceChannel, ...], state: Mapping[str, NDArray[Any]]
) -> SingleLayer:
    """What `SingleLayer.state` gave, checked.

    Raises:
        UsageError: arrays that are not those of these channels.

    """
    [place] = stored_array(state, "place", (1,), np.int64, "single_layer").tolist()
    least, scale = stored_array(state, "range", (2,), np.float64, "single_layer").tolist()
    if not 0 <= place < len(_geochemistry(channels)) or scale <= 0:
        raise UsageError("the weights are not those of a single_layer of these channels: train it again")
    return SingleLayer(channels, place, least, scale)


def _geochemistry(channels: tuple[EvidenceChannel, ...]) -> tuple[EvidenceChannel, ...]:
    return tuple(channel for channel in channels if channel.kind == "geochemistry")
