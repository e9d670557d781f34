"""Which networks and backbones exist, and how they are built by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from db.errors import UsageError
from inference.networks.backbone import Backbone
from inference.networks.checks import require_choice
from inference.networks.deeplab import DeepLabV3Plus
from inference.networks.options import OFF, OPTION_NAMES, DeepLabOptions
from inference.networks.resnet import resnet50
from inference.networks.small import SmallBackbone

BACKBONES: dict[str, Callable[[int, int], Backbone]] = {"resnet50": resnet50, "small": SmallBackbone}

_NO_COT: dict[str, Any] = {"cot_position": OFF}
_NO_SAE: dict[str, Any] = {"sae_position": OFF}
# the four rows of the ablation, as what is fixed in each
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "se_cot_deeplabv3plus": {},
    "cot_deeplabv3plus": _NO_SAE,
    "se_deeplabv3plus": _NO_COT,
    "deeplabv3plus": {**_NO_COT, **_NO_SAE},
}


def build_network(
    architecture: str, *, in_channels: int, classes: int = 8, backbone: str = "resnet50", **options: Any
) -> nn.Module:
    """A network with fresh weights; nothing is read or fetched.

    Args:
        architecture: a key of `ARCHITECTURES`.
        in_channels: number of bands.
        classes: number of classes, background included.
        backbone: a key of `BACKBONES`.
        options: fields of `DeepLabOptions`; None for a position means off.

    Returns:
        A module (n, in_channels, h, w) -> logits (n, classes, h, w).

    Raises:
        UsageError: an architecture, backbone, option or value that does not exist; says what was got and
            what exists.
    """
    require_choice("architecture", architecture, ARCHITECTURES)
    require_choice("backbone", backbone, BACKBONES)
    fixed = ARCHITECTURES[architecture]
    # an architecture without a block has none of the block's options
    absent = tuple(name.removesuffix("position") for name in fixed)
    known = [name for name in OPTION_NAMES if not name.startswith(absent)]
    for name in options:
        if name not in known:
            raise UsageError(
                f"unknown option {name!r} of the architecture {architecture}: choose among {', '.join(known)}"
            )
    given = {
        name: OFF if name.endswith("_position") and value is None else value
        for name, value in options.items()
    }
    chosen = DeepLabOptions(**{**given, **fixed})
    return DeepLabV3Plus(BACKBONES[backbone](in_channels, chosen.output_stride), classes, chosen)
