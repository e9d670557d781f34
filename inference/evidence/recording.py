"""`lode train evidence`: the evidence of a study area becomes a model in the registry. No deposit is read."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save

from db.connection import connect
from db.errors import UsageError
from db.registry import ModelRecord, NewModel, model_by_name, require_free_name
from inference.device import describe_device
from inference.evidence.blocks import default_block_px, validation_ground
from inference.evidence.checks import check_ground
from inference.evidence.favourability import unmet_rules
from inference.evidence.ground import evidence_ground
from inference.evidence.methods import FittedMethod, fit_method
from inference.evidence.mineral_system import MineralSystem, find_system, to_toml
from inference.evidence.types import (
    EVIDENCE,
    HIDDEN_KINDS,
    METHODS,
    EvidenceGround,
    EvidenceSettings,
    Report,
    silent,
)
from inference.networks.checks import require_choice, require_count
from inference.training.keeping import keep_model
from inference.training.processes import training_device

MOST_SEEDS = 100
DATA = ("real", "simulated", "implanted")
"""What a ground can be said to be: measured, made up, or measured with ore put into it."""
NETWORK_PACKAGES = ("lode", "numpy", "safetensors", "torch")
OTHER_PACKAGES = ("lode", "numpy", "safetensors", "scikit-learn")
LARGEST_SEED = 2**31 - 1

Member = tuple[int, FittedMethod]
"""A seed, and the method fitted with it."""


@dataclass(frozen=True)
class EvidenceRequest:
    """What is to be trained.

    Attributes:
        area: name of the study area.
        system: name of the mineral system.
        settings: how.
        seeds: members, each of a seed of its own; one where the method knows no chance.
        first_seed: the seeds count up from here.
        layers: names of the layers to take; None: all of the area.
        leave_out: names of channels or layers that are not taken.
        data: one of ``DATA``; None: not said.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.

    """

    area: str
    system: str
    settings: EvidenceSettings = field(default_factory=EvidenceSettings)
    seeds: int = 5
    first_seed: int = 1
    layers: tuple[str, ...] | None = None
    leave_out: tuple[str, ...] = ()
    data: str | None = None
    device_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse numbers and names that mean nothing.

        Raises:
            UsageError: names the value.

        """
        require_choice("method", self.settings.method, METHODS)
        require_count("seeds", self.seeds)
        require_count("first_seed", self.first_seed, at_least=0)
        if self.seeds > MOST_SEEDS:
            raise UsageError(f"seeds is {self.seeds}: give {MOST_SEEDS} at the most; five show the spread")
        if self.first_seed + self.seeds > LARGEST_SEED:
            raise UsageError(f"first_seed is {self.first_seed}: give less than {LARGEST_SEED - self.seeds}")
        if self.data is not None:
            require_choice("data", self.data, DATA)

    @property
    def all_seeds(self) -> list[int]:
        """The seeds of the members."""
        count = self.seeds if self.settings.is_random else 1
        return list(range(self.first_seed, self.first_seed + count))


def train_evidence(url: str, name: str, request: EvidenceRequest, report: Report = silent) -> ModelRecord:
    """Train a method on a study area, once for each seed, and store all members as one model.

    Everything is read before the first step, and the database is left alone until the end.
    Tables of deposits are not among what is read. A training that is killed leaves nothing.

    Args:
        url: libpq URL of the database.
        name: of the model; must be free.
        request: what to train.
        report: hears of the progress, line by line.

    Raises:
        UsageError: the name is taken, there is no such area, layer or system, evidence that cannot be learned
            from (each problem is named), or as `fit_method`. Nothing is stored then.

    """
    settings = request.settings
    device = training_device(request.device_name) if settings.is_network else torch.device("cpu")
    begun = time.monotonic()
    with connect(url, application_name="lode train evidence") as conn:
        require_free_name(conn, name)
        system = find_system(conn, request.system)
        ground = evidence_ground(
            conn, request.area, system, layers=request.layers, leave_out=request.leave_out, report=report
        )
        unmet = unmet_rules(conn, ground, system, report)
    needs_elements = settings.is_network or settings.method in ("pca", "single_layer")
    check_ground(ground, settings, system if needs_elements else None, report, others=unmet)
    _tell(ground, system, request, device, report)
    members = fit_members(ground, system, request, device, report)
    seconds = round(time.monotonic() - begun, 1)
    keep_model(url, new_model(name, ground, system, request, members, device, seconds), report)
    with connect(url, application_name="lode train evidence") as conn:
        return model_by_name(conn, name)


def fit_members(
    ground: EvidenceGround,
    system: MineralSystem,
    request: EvidenceRequest,
    device: torch.device,
    report: Report = silent,
) -> list[Member]:
    """Fit the method with each seed.

    Raises:
        UsageError: as `fit_method`.

    """
    seeds = request.all_seeds
    members: list[Member] = []
    for number, seed in enumerate(seeds, 1):
        begun = time.monotonic()

        def of_member(line: str, head: str = f"seed {seed} ({number} of {len(seeds)})") -> None:
            report(f"{head}: {line}")

        method = fit_method(
            request.settings.method, ground, system, request.settings, seed, device, of_member
        )
        found = "".join(f", {key.replace('_', ' ')} {value}" for key, value in method.facts.items())
        loss = method.validation_loss
        judged = "" if loss is None else f", validation loss {loss:.4f}"
        of_member(f"fitted in {time.monotonic() - begun:.1f} s{judged}{found}")
        members.append((seed, method))
    return members


def new_model(
    name: str,
    ground: EvidenceGround,
    system: MineralSystem,
    request: EvidenceRequest,
    members: Sequence[Member],
    device: torch.device,
    seconds: float,
) -> NewModel:
    """What is stored of a model.

    Args:
        name: of the model.
        ground: it was trained on.
        system: the mineral system, which is kept with the model whatever becomes of it elsewhere.
        request: what was asked for.
        members: what was fitted, by seed.
        device: where.
        seconds: it took, from the reading of the evidence.

    """
    settings = request.settings
    packages = NETWORK_PACKAGES if settings.is_network else OTHER_PACKAGES
    return NewModel(
        name=name,
        task=EVIDENCE,
        architecture=settings.method,
        options=settings.as_json(),
        class_codes=(),
        mapped_codes=(),
        band_names=tuple(ground.names),
        resolution_m=ground.grid.resolution_x,
        tile_px=settings.window_px if settings.is_network else 1,
        normalisation={
            "center": [channel.center for channel in ground.channels],
            "scale": [channel.scale for channel in ground.channels],
        },
        training={
            "area": ground.area,
            "evidence_area_id": ground.evidence_area_id,
            "layers": dict(ground.layer_ids),
            "geology_digest": ground.geology_digest,
            "channels": [channel.as_json() for channel in ground.channels],
            "system": system.as_json(),
            "system_toml": to_toml(system),
            "system_digest": system.digest,
            "settings": settings.as_json(),
            "seeds": [seed for seed, _method in members],
            "judged_cells": int(ground.is_judged.sum()),
            "scored_cells": int(ground.is_scored.sum()),
            "notes": list(ground.notes),
            "data": request.data,
            "device": describe_device(device, is_half=False),
            "seconds": seconds,
        },
        history=[{"seed": seed, **entry} for seed, method in members for entry in method.history],
        metrics=member_metrics(members, ground, settings),
        versions={"python": platform.python_version()} | {each: version(each) for each in packages},
        weights=members_to_bytes(members),
    )


def member_metrics(
    members: Sequence[Member], ground: EvidenceGround, settings: EvidenceSettings
) -> dict[str, Any]:
    """Validation loss by seed with its mean and spread, and what each fitting found.

    The loss is that on held-out blocks of the same ground, of hidden cells (of all cells for autoencoders);
    ``median_loss`` is that of who guesses the median everywhere. They tell how well evidence is guessed, not
    how well ore is found.
    """
    facts = {str(seed): method.facts for seed, method in members}
    losses = {
        str(seed): method.validation_loss for seed, method in members if method.validation_loss is not None
    }
    if not losses:
        return {"members": facts}
    values = np.array(list(losses.values()))
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return {
        "members": facts,
        "validation_loss": {"mean": float(values.mean()), "spread": spread, "by_seed": losses},
        "median_loss": float(np.mean([median_loss(ground, settings, seed) for seed, _method in members])),
    }


def median_loss(ground: EvidenceGround, settings: EvidenceSettings, seed: int) -> float:
    """Huber's loss on the held-out blocks of a seed of who guesses the median everywhere, which is 0 scaled.

    Sources weigh the same, as in the validation loss.
    """
    is_scored = ground.is_scored
    edge = settings.block_px or default_block_px(is_scored, settings.window_px)
    is_held_out = validation_ground(is_scored, edge, settings.validation_share, seed)
    losses = []
    for kind in HIDDEN_KINDS:
        places = ground.places_of(kind)
        found = np.abs(ground.values[places][ground.is_known[places] & is_held_out].astype(np.float64))
        if len(found):
            losses.append(float(np.where(found < 1, found**2 / 2, found - 0.5).mean()))
    return float(np.mean(losses))


def members_to_bytes(members: Sequence[Member]) -> bytes:
    """A safetensors file with the arrays of all members, named ``seed<number>.<name>``."""
    return bytes(
        save(
            {
                f"seed{seed}.{key}": np.ascontiguousarray(array)
                for seed, method in members
                for key, array in method.state().items()
            }
        )
    )


def _tell(
    ground: EvidenceGround,
    system: MineralSystem,
    request: EvidenceRequest,
    device: torch.device,
    report: Report,
) -> None:
    settings = request.settings
    counted = ", ".join(f"{len(places)} {kind}" for kind, places in ground.sources.items())
    report(
        f"{ground.area}: {int(ground.is_judged.sum()):,} judged cells of {ground.grid.resolution_x:g} m, "
        f"{len(ground.channels)} channels ({counted}); system {system.name}"
    )
    where = f" on {describe_device(device, is_half=False)}" if settings.is_network else ""
    seeds = request.all_seeds
    report(f"{settings.method}{where}, {_seed_text(seeds)}")
    if len(seeds) < request.seeds:
        report(f"note: {settings.method} knows no chance: one member is all there is, and its spread is 0")


def _seed_text(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
