"""A trained segmentation network, ready to predict."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import torch
from psycopg.rows import TupleRow
from torch import Tensor, nn

from db.errors import UsageError
from db.registry import StoredModel, load_model, require_in_service
from inference.device import half_precision
from inference.evaluation.temperature import Temperature
from inference.networks import build_network
from inference.normalisation import Normalisation
from inference.weights import load_weights

SEGMENTATION = "segmentation"
CLASS_CODES = (0, 1, 2, 3, 4, 5, 6, 7)
"""Class code of each output of every segmentation network."""
IGNORED = 255
"""In maps of labels and classes: unlabelled, not used, not observed."""


@dataclass(frozen=True)
class SegmentationModel:
    """A network with what it takes to feed it and to read its answer.

    Attributes:
        model_id, name: key and name in the registry.
        network: (n, bands, tile_px, tile_px) -> logits (n, classes, tile_px, tile_px), on ``device``.
        device: where it computes.
        band_names: input bands, in order.
        normalisation: of the input.
        class_codes: class code of each output.
        mapped_codes: codes of the classes that had labels in training; no other is ever answered.
        tile_px: edge of the windows it was trained on.
        resolution_m: pixel size it was trained on.
        processing_level: unit of the scenes it was trained on, as in the catalogue.
        temperature: what logits are divided by before the softmax, so that probabilities mean what they say.

    """

    model_id: int
    name: str
    network: nn.Module
    device: torch.device
    band_names: tuple[str, ...]
    normalisation: Normalisation
    class_codes: tuple[int, ...]
    mapped_codes: tuple[int, ...]
    tile_px: int
    resolution_m: float
    processing_level: str
    temperature: float = 1.0

    @property
    def mapped_outputs(self) -> list[int]:
        """Places of the mapped classes among the outputs."""
        return [self.class_codes.index(code) for code in self.mapped_codes]

    def logits(self, tiles: Tensor) -> Tensor:
        """Logits (n, mapped classes, h, w) of normalised tiles (n, bands, h, w).

        Only mapped classes take part: an output without a single label is noise.
        """
        with torch.inference_mode(), half_precision(self.device):
            every: Tensor = self.network(tiles.contiguous(memory_format=torch.channels_last))
        return every[:, self.mapped_outputs]

    def probabilities(self, tiles: Tensor) -> Tensor:
        """Probabilities (n, mapped classes, h, w), float32, of normalised tiles (n, bands, h, w)."""
        with torch.inference_mode():
            return Temperature(self.temperature).probabilities(self.logits(tiles))


def on_device(network: nn.Module, device: torch.device) -> nn.Module:
    """Move a network to a device, channels last: convolutions are faster so, on CPUs and GPUs alike."""
    # torch types only calls that name a device or a pixel type.
    moved: nn.Module = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def load_segmentation(
    conn: psycopg.Connection[TupleRow], name: str, device: torch.device
) -> SegmentationModel:
    """The network called ``name`` from the registry, checked, on a device, in evaluation mode.

    Raises:
        UsageError: no such model, a retired one, another task, weights that fail their checksum, their shapes
            or are not finite.

    """
    stored = load_model(conn, name)
    require_in_service(stored.record)
    return ready_model(stored, device)


def ready_model(stored: StoredModel, device: torch.device) -> SegmentationModel:
    """What `load_segmentation` does once the row is read."""
    record = stored.record
    if record.task != SEGMENTATION:
        raise UsageError(f"model {record.name} is for {record.task}, not for {SEGMENTATION}: choose another")
    if tuple(record.class_codes) != CLASS_CODES:
        raise UsageError(
            f"model {record.name} answers the classes {list(record.class_codes)}, "
            f"expected are {list(CLASS_CODES)}: train it again"
        )
    mapped_codes = tuple(record.mapped_codes)
    level = record.training.get("processing_level")
    if not mapped_codes or not set(mapped_codes) <= set(CLASS_CODES) or not isinstance(level, str):
        raise UsageError(f"model {record.name} does not say what it was trained on: train it again")
    network = build_network(
        record.architecture,
        in_channels=len(record.band_names),
        classes=len(record.class_codes),
        **record.options,
    )
    load_weights(network, stored.weights, f"model {record.name}")
    return SegmentationModel(
        model_id=record.model_id,
        name=record.name,
        network=on_device(network, device).eval(),
        device=device,
        band_names=tuple(record.band_names),
        normalisation=Normalisation.from_json(record.normalisation, tuple(record.band_names)),
        class_codes=CLASS_CODES,
        mapped_codes=mapped_codes,
        tile_px=record.tile_px,
        resolution_m=record.resolution_m,
        processing_level=level,
        temperature=record.temperature,
    )
