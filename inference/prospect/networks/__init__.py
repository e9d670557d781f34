"""Networks that tell from a patch of ground whether it bears ore, one kind per file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from db.errors import UsageError
from inference.networks.checks import require_choice, require_count
from inference.prospect.networks.cnn import CnnOptions, PatchCnn
from inference.prospect.networks.gcn import GcnOptions, PatchGcn, ResidualGcnOptions

ARCHITECTURES = ("gcn_residual", "gcn", "cnn")

__all__ = ["ARCHITECTURES", "PatchCnn", "PatchGcn", "build_prospect_network"]

_OPTIONS: dict[str, type[CnnOptions | GcnOptions | ResidualGcnOptions]] = {
    "gcn_residual": ResidualGcnOptions,
    "gcn": GcnOptions,
    "cnn": CnnOptions,
}


def build_prospect_network(
    architecture: str, *, in_channels: int, patch_px: int, **options: Any
) -> PatchGcn | PatchCnn:
    """A network with fresh weights for patches of ``patch_px`` x ``patch_px`` cells.

    Args:
        architecture: one of `ARCHITECTURES`.
        in_channels: channels of a cell.
        patch_px: edge of a patch, cells; at least 2.
        options: fields of `ResidualGcnOptions`, `GcnOptions` or `CnnOptions`.

    Returns:
        A module (n, patch_px**2, in_channels), nodes in rows from the top -> logits (n, 2): barren, ore.

    Raises:
        UsageError: an architecture, option or value that does not exist; says what was got and what exists.

    """
    require_choice("architecture", architecture, ARCHITECTURES)
    require_count("in_channels", in_channels)
    require_count("patch_px", patch_px, at_least=2)
    kind = _OPTIONS[architecture]
    known = [one.name for one in fields(kind)]
    for name in options:
        if name not in known:
            raise UsageError(
                f"unknown option {name!r} of the architecture {architecture}: choose among {', '.join(known)}"
            )
    chosen = kind(**options)
    if isinstance(chosen, CnnOptions):
        return PatchCnn(in_channels, patch_px, chosen)
    return PatchGcn(in_channels, patch_px, chosen)
