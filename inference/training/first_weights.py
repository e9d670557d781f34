"""Weights to start a training from: a file of a whole network, or of a backbone alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn

from db.errors import UsageError
from inference.networks import load_state

PREFIXES = ("", "backbone.", "module.", "encoder.")
"""Put before, or taken off, the file's names, whichever fits most."""
LEAST_SHARE = 0.5
"""Of the file's or of the network's values that must fit; less is another network."""
MOST_BYTES = 4 << 30
NAMES_SHOWN = 8
HEADER = "lode"
"""Key of what a file made here says of itself in its header, as JSON."""


@dataclass(frozen=True)
class FirstWeights:
    """What became of the tensors of a file.

    Attributes:
        file: its name.
        sha256: of its content.
        matched: names in the network that were loaded.
        missing: names in the network that the file lacks; these start at random.
        unexpected: names in the file that the network lacks.
        reshaped: names that both have in different shapes; these start at random.

    """

    file: str
    sha256: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    @property
    def text(self) -> str:
        """A line for whoever trains."""
        parts = [f"first weights from {self.file}: {len(self.matched)} tensors match"]
        for what, names in (
            ("of another shape", self.reshaped),
            ("not in the file", self.missing),
            ("not in the network", self.unexpected),
        ):
            if names:
                shown = ", ".join(names[:NAMES_SHOWN]) + (", ..." if len(names) > NAMES_SHOWN else "")
                parts.append(f"{len(names)} {what} ({shown})")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """For the registry."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()
        }


def start_from(network: nn.Module, path: Path, band_names: Sequence[str] = ()) -> FirstWeights:
    """Load what fits of a safetensors file into a network; the rest keeps its random weights.

    A first layer for another number of bands and a last one for other classes are of another shape and are
    left out. Names may be those of the backbone alone. PyTorch's own files are pickles, which can run code
    when they are opened, and are refused.

    Args:
        network: with fresh weights.
        path: the file.
        band_names: the network's; held against those that the file names, if it does; none: not checked.

    Raises:
        UsageError: the file cannot be read, is no safetensors file, is of another network or as many other
            bands, or holds NaN or Inf. The network is then as it was.

    """
    state, sha256 = _read(path)
    _check_bands(path, band_names)
    wanted = network.state_dict()
    named = max(
        (_renamed(state, wanted, prefix) for prefix in PREFIXES), key=lambda each: _fitting(each, wanted)
    )
    reshaped = tuple(name for name in named if name in wanted and named[name].shape != wanted[name].shape)
    fitting = {name: tensor for name, tensor in named.items() if name not in reshaped}
    values = _fitting(named, wanted)
    least = min(sum(each.numel() for each in state.values()), sum(each.numel() for each in wanted.values()))
    if values < LEAST_SHARE * least:
        raise UsageError(
            f"{path} holds the weights of another network than this {type(network).__name__}: "
            f"{values:,} of its {sum(each.numel() for each in state.values()):,} values fit "
            f"(it names {_shown(state)}; needed are {_shown(wanted)}). Give --architecture and --backbone "
            "of the file, or leave --weights out"
        )
    report = load_state(network, fitting, strict=False)
    missing = tuple(name for name in report.missing if name not in reshaped)
    return FirstWeights(path.name, sha256, report.matched, missing, report.unexpected, reshaped)


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(
                f"{path} is larger than {MOST_BYTES >> 30} GiB: no network here has such weights"
            )
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the weights {path} cannot be read: {error.strerror}") from error
    try:
        return load(content), hashlib.sha256(content).hexdigest()
    except (SafetensorError, ValueError, KeyError) as error:
        raise UsageError(
            f"{path} is no safetensors file ({error}); files of torch.save are pickles and are not opened: "
            "convert them with safetensors.torch.save_file where you trust them"
        ) from error


def _check_bands(path: Path, band_names: Sequence[str]) -> None:
    """Refuse a first layer that would take one band for another; of another number it does not fit anyway."""
    try:
        with safe_open(str(path), framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(HEADER, "null"))
    except (
        SafetensorError,
        OSError,
        ValueError,
    ):  # what it holds was read already; its header is a stranger's
        return
    bands = said.get("bands") if isinstance(said, dict) else None
    if not isinstance(bands, list) or not band_names or len(bands) != len(band_names):
        return
    if bands != list(band_names):
        raise UsageError(
            f"{path} was learned from the bands {', '.join(map(str, bands))}, this training takes "
            f"{', '.join(band_names)}: give --bands {','.join(map(str, bands))}, or leave --weights out"
        )


def _renamed(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        longer, shorter = prefix + name, name.removeprefix(prefix)
        renamed[longer if longer in wanted else shorter if shorter in wanted else name] = tensor
    return renamed


def _fitting(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int:
    """Values that find their place."""
    return sum(
        each.numel() for name, each in state.items() if name in wanted and wanted[name].shape == each.shape
    )


def _shown(names: Mapping[str, Tensor]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
