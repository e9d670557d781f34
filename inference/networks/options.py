"""What can be chosen about a network, checked when it is chosen."""

from __future__ import annotations

from dataclasses import dataclass

from db.errors import UsageError
from inference.networks.backbone import OUTPUT_STRIDES
from inference.networks.checks import require_choice, require_count

COT_POSITIONS = ("aspp_out", "backbone_out", "aspp_branch")
COT_MODES = ("full", "simple")
SAE_POSITIONS = ("decoder_concat", "low_level", "aspp_out")
OFF = "off"


@dataclass(frozen=True)
class DeepLabOptions:
    """Options of `DeepLabV3Plus`; all are plain values, so that they can be stored with the weights.

    The publication of SENetV2-COT-DeepLabV3+ shows the two blocks in a figure that does not settle where
    they sit; the places are therefore options, and the defaults are our choice.

    Attributes:
        output_stride: stride of the deep feature, 16 or 8 (the atrous rates double at 8).
        cot_position: where the CoT block sits. ``aspp_out``: on the result of the ASPP; ``backbone_out``: on
            the deep feature; ``aspp_branch``: in one more branch of the ASPP, 1x1 then CoT; ``off``.
        cot_mode: ``full`` or ``simple``, see `CotBlock` and `SimpleCotBlock`.
        sae_position: where the SaE block sits. ``decoder_concat``: on the decoder's concatenated feature;
            ``low_level``: on the backbone's low-level feature; ``aspp_out``: on the result of the ASPP,
            behind a CoT block there; ``off``.
        sae_reduction: factor by which a branch of the SaE block narrows the channels.
        sae_cardinality: number of parallel branches of the SaE block.
        sae_residual: whether the SaE block adds its input.
        aspp_channels: width of the ASPP; None takes what suits the backbone, as in the next three.
        low_level_channels: width that the low-level feature is reduced to.
        decoder_channels: width of the decoder.
        atrous_rates: dilations of the ASPP at output stride 16, in pixels of the deep feature.
        dropout: share dropped behind the ASPP in training, 0 to below 1.
        fine_skip: whether the decoder goes on to stride 2 with the backbone's feature there; None takes it
            where the backbone gives one.
    """

    output_stride: int = 16
    cot_position: str = "aspp_out"
    cot_mode: str = "full"
    sae_position: str = "decoder_concat"
    sae_reduction: int = 32
    sae_cardinality: int = 4
    sae_residual: bool = True
    aspp_channels: int | None = None
    low_level_channels: int | None = None
    decoder_channels: int | None = None
    atrous_rates: tuple[int, ...] | None = None
    dropout: float = 0.1
    fine_skip: bool | None = None

    def __post_init__(self) -> None:
        """Refuse values that do not exist, naming those that do.

        Raises:
            UsageError: what was got and what can be chosen.
        """
        require_choice("output_stride", self.output_stride, OUTPUT_STRIDES)
        require_choice("cot_position", self.cot_position, (*COT_POSITIONS, OFF))
        require_choice("cot_mode", self.cot_mode, COT_MODES)
        require_choice("sae_position", self.sae_position, (*SAE_POSITIONS, OFF))
        require_choice("sae_residual", self.sae_residual, (True, False))
        require_choice("fine_skip", self.fine_skip, (None, True, False))
        for name in ("sae_reduction", "sae_cardinality"):
            require_count(name, getattr(self, name))
        for name in ("aspp_channels", "low_level_channels", "decoder_channels"):
            if getattr(self, name) is not None:
                require_count(name, getattr(self, name))
        if self.atrous_rates is not None:
            rates = _counts("atrous_rates", self.atrous_rates, "a rate", "dilations, e.g. 6, 12, 18")
            object.__setattr__(self, "atrous_rates", rates)
        _check_dropout(self.dropout)


@dataclass(frozen=True)
class FcnOptions:
    """Options of `Fcn`.

    Attributes:
        output_stride: stride of the deep feature, 8, as the network is usually published, or 16.
        head_channels: width of the 3x3 before the classifier; None takes what suits the backbone.
        dropout: share dropped before the classifier in training, 0 to below 1.
    """

    output_stride: int = 8
    head_channels: int | None = None
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values that do not exist, as `DeepLabOptions` does."""
        require_choice("output_stride", self.output_stride, OUTPUT_STRIDES)
        if self.head_channels is not None:
            require_count("head_channels", self.head_channels)
        _check_dropout(self.dropout)


@dataclass(frozen=True)
class PspNetOptions(FcnOptions):
    """Options of `PspNet`: those of `FcnOptions` and the pyramid.

    Attributes:
        bins: into how many parts the branches of the pyramid divide each axis of the tile.
    """

    bins: tuple[int, ...] = (1, 2, 3, 6)

    def __post_init__(self) -> None:
        """Refuse values that do not exist, as `DeepLabOptions` does."""
        super().__post_init__()
        object.__setattr__(self, "bins", _counts("bins", self.bins, "an entry", "parts, e.g. 1, 2, 3, 6"))


@dataclass(frozen=True)
class UNetOptions:
    """Options of `UNet`.

    Attributes:
        base_channels: width at stride 1, doubled at each further stride; None takes the encoder's.
        dropout: share dropped at the end of the encoder in training, 0 to below 1.
    """

    base_channels: int | None = None
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Refuse values that do not exist, as `DeepLabOptions` does."""
        if self.base_channels is not None:
            require_count("base_channels", self.base_channels)
        _check_dropout(self.dropout)


def _check_dropout(dropout: object) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise UsageError(f"dropout is {dropout!r}: it must be a share of at least 0 and below 1")


def _counts(name: str, values: object, entry: str, needed: str) -> tuple[int, ...]:
    """The values as a tuple, for JSON knows lists only, each a whole number of at least 1."""
    if not isinstance(values, (tuple, list)) or not values:
        raise UsageError(f"{name} is {values!r}: it must be a list of {needed}")
    for value in values:
        require_count(f"{entry} of {name}", value)
    return tuple(values)
