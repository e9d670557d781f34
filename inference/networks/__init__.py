"""Networks that turn tiles into logits, one block or network per file."""

from inference.networks.registry import ARCHITECTURES, BACKBONES, build_network, choose_backbone
from inference.networks.weights import LoadReport, load_state

__all__ = ["ARCHITECTURES", "BACKBONES", "LoadReport", "build_network", "choose_backbone", "load_state"]
