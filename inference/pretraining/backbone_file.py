"""The file of a pretrained backbone: safetensors, with what it was learned from in its header."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from db.errors import UsageError
from inference.experiments.files import write_whole
from inference.training.first_weights import HEADER

FORMAT = "lode backbone 1"


def require_free(path: Path) -> None:
    """Refuse a file that cannot be written, before hours of work.

    Raises:
        UsageError: it is there already, or its folder is not or cannot be written to.

    """
    if path.exists():
        raise UsageError(f"{path} is there already: choose another --out, or remove it")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} is not there: make it, or choose another --out")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"the folder {path.parent} cannot be written to: choose another --out")


def write_backbone(path: Path, backbone: nn.Module, said: Mapping[str, Any]) -> Path:
    """Write the weights of a backbone, whole or not at all.

    Args:
        path: of the file.
        backbone: whose weights `lode train segmentation --weights` can start from.
        said: what it was learned from, as JSON knows it. No times: the same training gives the same bytes.

    Raises:
        UsageError: it cannot be written.

    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    header = {HEADER: json.dumps({"format": FORMAT, **said}, sort_keys=True)}
    return write_whole(path, lambda part: part.write_bytes(save(state, header)))
