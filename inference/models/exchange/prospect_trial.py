"""Whether an exported model that tells where ore may lie can be built, loaded and asked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from db.errors import UsageError
from db.registry import NewModel, StoredModel
from inference.models.exchange.plain_weights import is_plain_model
from inference.models.exchange.trial import as_record, compare_tensors, refuse_huge, told_of_building
from inference.prospect.networks import build_prospect_network
from inference.prospect.settings import NETWORKS
from inference.prospect.trained import ProspectModel, ready_prospect_model

TRIAL_PATCHES = 8
"""Patches of noise that an imported model must answer."""
MAX_UNPACKED_BYTES = 2_000_000_000


def check_prospect(new: NewModel, header: Mapping[str, Any], digest: str, what: str) -> None:
    """Build the model, load the weights and have it answer patches of noise.

    Networks first without memory, on torch's meta device: a record of a few bytes could ask for any amount of
    it. Of plain models nothing is made but known types of scikit-learn, see
    `inference.prospect.baselines.load_plain`.

    Args:
        new: the model.
        header: type, shape and place of each tensor in a network's weights.
        digest: SHA-256 of the weights.
        what: name for messages.

    Raises:
        UsageError: the model cannot be built, the weights are another one's, are not finite, or lead to
            answers that are no probabilities.

    """
    if is_plain_model(new.task, new.architecture):
        _refuse_bomb(new.weights, what)
    elif new.architecture in NETWORKS:
        _compare(new, header, what)
    try:
        model = ready_prospect_model(StoredModel(as_record(new), new.weights, digest), torch.device("cpu"))
        answer = _answer(model)
    except UsageError as error:
        raise UsageError(f"the model in {what} cannot be used: {error}") from error
    # what scikit-learn and torch raise for parts that do not go together
    except (ValueError, RuntimeError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"the model in {what} cannot answer: {str(error)[:200]}") from error
    if not bool(((answer >= 0) & (answer <= 1)).all()):
        raise UsageError(f"the model in {what} answers noise with no probability: its weights are spoilt")


def _compare(new: NewModel, header: Mapping[str, Any], what: str) -> None:
    channels, px = len(new.band_names), new.tile_px
    with told_of_building(what), torch.device("meta"), torch.inference_mode():
        network = build_prospect_network(
            new.architecture, in_channels=channels, patch_px=px, **new.options
        ).eval()
        for module in network.modules():
            module.register_forward_hook(refuse_huge)
        network(torch.empty(TRIAL_PATCHES, px**2, channels))
    compare_tensors(network, header, what)


def _answer(model: ProspectModel) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Probabilities (n,) of patches of noise."""
    shape = (TRIAL_PATCHES, model.patch_px**2, len(model.channels))
    return model.patch_probabilities(np.random.default_rng(0).standard_normal(shape, np.float32))


def _refuse_bomb(weights: bytes, what: str) -> None:
    """Refuse a file of skops, a zip archive, that would fill the memory when it is unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(weights)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UsageError(f"the weights in {what} are no file of skops: {error}") from error
    if size > MAX_UNPACKED_BYTES:
        raise UsageError(f"the weights in {what} would unpack to {size:,} bytes: no plain model is so large")
