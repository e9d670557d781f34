"""Plain models in a safetensors file: the bytes that skops wrote, as one tensor of bytes."""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from db.errors import UsageError
from inference.prospect.settings import ESTIMATORS, PROSPECT

TENSOR = "skops"


def is_plain_model(task: str, architecture: str) -> bool:
    """Whether the weights of a model are a file of skops, not of safetensors."""
    return task == PROSPECT and architecture in ESTIMATORS


def wrapped(weights: bytes) -> bytes:
    """A safetensors file that holds the bytes of another file."""
    return bytes(save({TENSOR: np.frombuffer(weights, np.uint8)}))


def unwrapped(file: bytes, what: str) -> bytes:
    """The bytes that `wrapped` put into a safetensors file.

    Args:
        file: the safetensors file.
        what: name for messages.

    Raises:
        UsageError: it holds something else.

    """
    try:
        tensors = load(file)
    # what the library raises for a type that NumPy lacks
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the tensors in {what} cannot be read: {str(error)[:200]}") from error
    if set(tensors) != {TENSOR} or tensors[TENSOR].dtype != np.uint8 or tensors[TENSOR].ndim != 1:
        raise UsageError(
            f"the weights in {what} are those of a network: a plain model has one tensor of bytes, {TENSOR}"
        )
    return tensors[TENSOR].tobytes()
