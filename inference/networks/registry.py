"""Which networks and backbones exist, and how they are built by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from torch import nn

from db.errors import UsageError
from inference.networks.backbone import Backbone
from inference.networks.checks import require_choice
from inference.networks.deeplab import DeepLabV3Plus
from inference.networks.ensemble import build_ensemble
from inference.networks.ensemble_member import ENSEMBLE
from inference.networks.fcn import Fcn
from inference.networks.mobilenet_v2 import MobileNetV2
from inference.networks.options import OFF, DeepLabOptions, FcnOptions, PspNetOptions, UNetOptions
from inference.networks.pspnet import PspNet
from inference.networks.resnet import resnet50, resnet101
from inference.networks.small import SmallBackbone
from inference.networks.unet import ENCODERS, UNet
from inference.networks.xception import Xception

BACKBONES: dict[str, Callable[[int, int], Backbone]] = {
    "resnet50": resnet50,
    "small": SmallBackbone,
    "resnet101": resnet101,
    "mobilenet_v2": MobileNetV2,
    "xception": Xception,
}
DEFAULT = "default"


@dataclass(frozen=True)
class Architecture:
    """What stands behind the name of an architecture.

    Attributes:
        network: class of the network; takes a `Backbone` first where `backbones` is `BACKBONES`.
        options: class of what can be chosen about it.
        fixed: options that make it what it is, with their values; these cannot be chosen.
        backbones: what it can stand on, by name; the first is the default.
    """

    network: Callable[..., nn.Module]
    options: type[DeepLabOptions | FcnOptions | UNetOptions]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    backbones: Mapping[str, object] = field(default_factory=lambda: BACKBONES)

    @property
    def option_names(self) -> tuple[str, ...]:
        """Options that can be chosen; without a block there are none of the block's options."""
        absent = tuple(name.removesuffix("position") for name in self.fixed)
        return tuple(one.name for one in fields(self.options) if not one.name.startswith(absent))


_NO_COT: dict[str, Any] = {"cot_position": OFF}
_NO_SAE: dict[str, Any] = {"sae_position": OFF}
# the four rows of the ablation and the three rivals
ARCHITECTURES: dict[str, Architecture] = {
    "se_cot_deeplabv3plus": Architecture(DeepLabV3Plus, DeepLabOptions),
    "cot_deeplabv3plus": Architecture(DeepLabV3Plus, DeepLabOptions, _NO_SAE),
    "se_deeplabv3plus": Architecture(DeepLabV3Plus, DeepLabOptions, _NO_COT),
    "deeplabv3plus": Architecture(DeepLabV3Plus, DeepLabOptions, {**_NO_COT, **_NO_SAE}),
    "fcn": Architecture(Fcn, FcnOptions),
    "unet": Architecture(UNet, UNetOptions, backbones=ENCODERS),
    "pspnet": Architecture(PspNet, PspNetOptions),
}


def choose_backbone(architecture: str, backbone: str = DEFAULT) -> str:
    """The backbone by its own name: `backbone` itself where the architecture has it, or its default.

    Raises:
        UsageError: an architecture or backbone that does not exist, or a backbone of other architectures.
    """
    require_choice("architecture", architecture, ARCHITECTURES)
    names = list(ARCHITECTURES[architecture].backbones)
    if backbone == DEFAULT:
        return names[0]
    if backbone in list(BACKBONES) and backbone not in names:
        raise UsageError(
            f"{architecture} has an encoder of its own and does not stand on the backbone {backbone}: "
            f"choose one of {', '.join(names)}"
        )
    require_choice("backbone", backbone, names)
    return backbone


def build_network(
    architecture: str, *, in_channels: int, classes: int = 8, backbone: str = DEFAULT, **options: Any
) -> nn.Module:
    """A network with fresh weights; nothing is read or fetched.

    Args:
        architecture: a key of `ARCHITECTURES`, or ``ensemble``, which is made of trained networks.
        in_channels: number of bands.
        classes: number of classes, background included.
        backbone: a key of `BACKBONES`, for ``unet`` of its own `ENCODERS`; both have a ``small`` one.
            ``default``: resnet50, for ``unet`` its plain encoder.
        options: fields of `DeepLabOptions`, `FcnOptions`, `PspNetOptions` or `UNetOptions`; None for a
            position means off. Of an ensemble those of `ensemble_options`.

    Returns:
        A module (n, in_channels, h, w) -> logits (n, classes, h, w).

    Raises:
        UsageError: an architecture, backbone, option or value that does not exist; says what was got and
            what exists.
    """
    if architecture == ENSEMBLE:
        # its members have backbones of their own
        everything = options if backbone == DEFAULT else {**options, "backbone": backbone}
        return build_ensemble(build_network, in_channels, classes, everything)
    name_of_backbone = choose_backbone(architecture, backbone)
    chosen = ARCHITECTURES[architecture]
    known = chosen.option_names
    for name in options:
        if name not in known:
            raise UsageError(
                f"unknown option {name!r} of the architecture {architecture}: choose among {', '.join(known)}"
            )
    given = {
        name: OFF if name.endswith("_position") and value is None else value
        for name, value in options.items()
    }
    values = chosen.options(**{**given, **chosen.fixed})
    if isinstance(values, UNetOptions):
        return chosen.network(in_channels, classes, values, name_of_backbone)
    return chosen.network(BACKBONES[name_of_backbone](in_channels, values.output_stride), classes, values)
