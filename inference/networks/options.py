"""What can be chosen about a DeepLabV3+ network, checked when it is chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields

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
        self._check_rates()
        is_number = isinstance(self.dropout, (int, float)) and not isinstance(self.dropout, bool)
        if not is_number or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}: it must be a share of at least 0 and below 1")

    def _check_rates(self) -> None:
        if self.atrous_rates is None:
            return
        if not isinstance(self.atrous_rates, (tuple, list)) or not self.atrous_rates:
            raise UsageError(
                f"atrous_rates is {self.atrous_rates!r}: it must be a list of dilations, e.g. 6, 12, 18"
            )
        for rate in self.atrous_rates:
            require_count("a rate of atrous_rates", rate)
        object.__setattr__(self, "atrous_rates", tuple(self.atrous_rates))  # JSON knows lists only


OPTION_NAMES = tuple(field.name for field in fields(DeepLabOptions))
