"""Networks that guess evidence, one kind per file; all take windows and give the hidden channels back."""

from __future__ import annotations

from collections.abc import Sequence

from db.errors import UsageError
from inference.evidence.networks.autoencoders import ConvAutoencoder, DenseAutoencoder
from inference.evidence.networks.layout import SourceLayout, layout_of
from inference.evidence.networks.vit import MaskedViT, VitOptions
from inference.evidence.types import NETWORKS, EvidenceChannel, EvidenceSettings
from inference.networks.checks import require_choice

EvidenceNetwork = MaskedViT | ConvAutoencoder | DenseAutoencoder
"""Attributes of all: ``layout``; ``hides``, whether it guesses what it does not see; ``is_local``, whether a
cell's answer depends on that cell alone."""

__all__ = [
    "ConvAutoencoder",
    "DenseAutoencoder",
    "EvidenceNetwork",
    "MaskedViT",
    "SourceLayout",
    "VitOptions",
    "layout_of",
    "network_of",
]


def network_of(settings: EvidenceSettings, channels: Sequence[EvidenceChannel]) -> EvidenceNetwork:
    """A network with fresh weights.

    Args:
        settings: its method is one of ``NETWORKS``; autoencoders know the option ``bottleneck``.
        channels: of the ground that it is trained on.

    Raises:
        UsageError: a method or option that does not exist, sizes that do not fit each other, or channels
            that leave nothing to guess.

    """
    require_choice("network", settings.method, NETWORKS)
    layout = layout_of(channels, with_geology=settings.method != "vit_no_geology")
    if settings.method == "dense_autoencoder":
        return DenseAutoencoder(layout, settings.width, _bottleneck(settings))
    if settings.method == "conv_autoencoder":
        return ConvAutoencoder(layout, settings.stem, _bottleneck(settings))
    _require_options(settings, ())
    options = VitOptions(
        window_px=settings.window_px,
        patch_px=settings.patch_px,
        width=settings.width,
        depth=settings.depth,
        heads=settings.heads,
        stem=None if settings.method == "vit_no_fusion" else settings.stem,
        decoder_width=settings.decoder_width,
        decoder_depth=settings.decoder_depth,
    )
    return MaskedViT(layout, options)


def _bottleneck(settings: EvidenceSettings) -> int | None:
    _require_options(settings, ("bottleneck",))
    found: int | None = settings.options.get("bottleneck")
    return found


def _require_options(settings: EvidenceSettings, known: Sequence[str]) -> None:
    for name in settings.options:
        if name not in known:
            choices = f"choose among {', '.join(known)}" if known else "it has none"
            raise UsageError(f"unknown option {name!r} of the method {settings.method}: {choices}")
