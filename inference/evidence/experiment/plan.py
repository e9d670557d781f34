"""What `lode experiment prospectivity` compares: methods, budgets, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.errors import UsageError
from inference.evidence.types import METHODS, NETWORKS, EvidenceSettings

MAIN = "vit"
ABLATIONS = ("vit_no_fusion", "vit_no_geology")
"""The network without one of its two parts, which it is held against on simulated ground."""
PLAIN = ("mahalanobis", "single_layer")
"""Plain answers; a network that does not beat the first on real ground has shown nothing there."""
SIMULATED, REAL = "simulated", "real"
PARTS = (SIMULATED, REAL)

_CALLED = {
    "vit": "masked ViT",
    "vit_no_fusion": "ViT without fusion",
    "vit_no_geology": "ViT without geology",
    "conv_autoencoder": "convolutional autoencoder",
    "dense_autoencoder": "dense autoencoder",
    "pca": "PCA",
    "isolation_forest": "isolation forest",
    "one_class_svm": "one-class SVM",
    "mahalanobis": "Mahalanobis distance",
    "single_layer": "single layer",
}
LABELS = {method: _CALLED[method] for method in METHODS}
"""All methods, and what tables and figures call them."""

_SMALL: dict[str, Any] = {
    "width": 64,
    "depth": 2,
    "heads": 4,
    "stem": 16,
    "decoder_width": 64,
    "decoder_depth": 1,
    "learning_rate": 4e-3,
    "windows": 8000,
}
_TINY: dict[str, Any] = {
    **_SMALL,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "stem": 4,
    "decoder_width": 16,
    "windows": 64,
    "evaluations": 2,
}


@dataclass(frozen=True)
class Preset:
    """A budget, the same for all networks.

    Attributes:
        size_px: edge of the simulated province, cells of 500 m.
        seeds: members of each model on simulated ground, where a method knows chance.
        real_seeds: the same on the real survey.
        network: settings of the networks that are not the defaults.

    """

    size_px: int
    seeds: int
    real_seeds: int
    network: Mapping[str, Any] = field(default_factory=dict)

    def settings_of(self, method: str) -> EvidenceSettings:
        """Settings of a method."""
        own = dict(self.network) if method in NETWORKS else {}
        return EvidenceSettings(method=method, **own)


PRESETS = {
    "tiny": Preset(size_px=128, seeds=2, real_seeds=1, network=_TINY),
    # both parts are to stay within 45 minutes on two cores
    "small": Preset(size_px=320, seeds=5, real_seeds=3, network=_SMALL),
    "full": Preset(size_px=480, seeds=5, real_seeds=5),
}


def preset_by_name(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none.

    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
