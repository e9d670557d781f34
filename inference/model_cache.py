"""Networks that a worker keeps on its device between jobs."""

from __future__ import annotations

from collections import OrderedDict

import psycopg
import torch
from psycopg.rows import TupleRow

from db.registry import load_model, model_by_id, require_in_service, weights_sha256
from inference.segmentation_model import SegmentationModel, ready_model

KEPT = 2
"""Networks kept: a worker meets one or two in turns, and a GPU's memory is for windows."""


class ModelCache:
    """The networks used last, ready to predict.

    A network is known by its key and the SHA-256 of its weights: a database that was restored meanwhile may
    hold another under the same key.

    Args:
        device: where they compute.
        kept: how many are kept, at least 1.

    """

    def __init__(self, device: torch.device, kept: int = KEPT) -> None:
        self.device = device
        self._kept = kept
        self._models: OrderedDict[tuple[int, str | None], SegmentationModel] = OrderedDict()

    def get(self, conn: psycopg.Connection[TupleRow], model_id: int) -> SegmentationModel:
        """The network with this key, from memory if it was used lately.

        Raises:
            UsageError: no such model, a retired one, another task, weights that fail their checksum, their
                shapes or are not finite.

        """
        record = model_by_id(conn, model_id)
        require_in_service(record)
        key = (model_id, weights_sha256(conn, model_id))
        model = self._models.pop(key, None)
        if model is None:
            while len(self._models) >= self._kept:  # first, so that the device never holds one more
                self._models.popitem(last=False)
            model = ready_model(load_model(conn, record.name), self.device)
        self._models[key] = model
        return model
