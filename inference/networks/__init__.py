"""Networks that turn tiles into logits, one block or network per file."""

from inference.networks.registry import ARCHITECTURES, BACKBONES, build_network

__all__ = ["ARCHITECTURES", "BACKBONES", "build_network"]
