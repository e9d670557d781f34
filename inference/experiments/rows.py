"""Which networks are the rows of each experiment, by the names the land-damage study gave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.errors import UsageError


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        network: its name in the study.
        architecture: key of `inference.networks.ARCHITECTURES`.

    """

    network: str
    architecture: str


REFERENCE = "DL"
"""The row that differences are taken to: DeepLabV3+ without the blocks of the study."""

_DEEPLABS = (
    Row(REFERENCE, "deeplabv3plus"),
    Row("COT-DL", "cot_deeplabv3plus"),
    Row("SE-DL", "se_deeplabv3plus"),
    Row("SE-COT-DL", "se_cot_deeplabv3plus"),
)
ABLATION, COMPARISON = "ablation", "comparison"
EXPERIMENTS: dict[str, tuple[Row, ...]] = {
    ABLATION: _DEEPLABS,
    COMPARISON: (Row("FCN", "fcn"), Row("U-Net", "unet"), Row("PSPNet", "pspnet"), *_DEEPLABS),
}


def chosen_rows(experiment: str, networks: Sequence[str] = ()) -> tuple[Row, ...]:
    """The rows of an experiment, or those of them that are named, in the experiment's order.

    Raises:
        UsageError: a network that is no row of it.

    """
    rows = EXPERIMENTS[experiment]
    known = [row.network for row in rows]
    for network in networks:
        if network not in known:
            raise UsageError(
                f"network {network!r} is no row of the {experiment}: choose among {', '.join(known)}"
            )
    return tuple(row for row in rows if not networks or row.network in networks)
