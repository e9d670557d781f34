"""What `lode experiment geology` trains: rows, budgets, and the names of the models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from db.errors import UsageError
from inference.prospect.settings import ESTIMATORS, GridSettings, ProspectSettings

MAIN = "gcn_residual"
BARE = "gcn_residual without geology"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: in table and figure.
        network: one of `inference.prospect.settings.NETWORKS` or `ESTIMATORS`.
        options: of the network.
        leave_out_geology: learn from the bands alone.

    """

    name: str
    network: str
    options: Mapping[str, Any] = field(default_factory=dict)
    leave_out_geology: bool = False

    @property
    def is_network(self) -> bool:
        """Whether it is trained in epochs, and so with several seeds."""
        return self.network not in ESTIMATORS


SIMULATED_ROWS = (
    Row(MAIN, "gcn_residual"),
    Row(BARE, "gcn_residual", leave_out_geology=True),
    Row("gcn", "gcn"),
    Row("gcn with batch norm", "gcn", {"batch_norm": True}),
    Row("cnn", "cnn"),
    Row("svm", "svm"),
    Row("forest", "forest"),
    Row("forest without geology", "forest", leave_out_geology=True),
    Row("majority", "majority"),
)
REAL_ROWS = (
    Row(MAIN, "gcn_residual"),
    Row(BARE, "gcn_residual", leave_out_geology=True),
    Row("gcn", "gcn"),
    Row("gcn with batch norm", "gcn", {"batch_norm": True}),
    Row("cnn", "cnn"),
    Row("svm", "svm"),
    Row("forest", "forest"),
    Row("forest without geology", "forest", leave_out_geology=True),
    Row("majority", "majority"),
)


@dataclass(frozen=True)
class Preset:
    """A budget, the same for all networks.

    Attributes:
        size_px: edge of the simulated districts, pixels of 30 m.
        seeds: trainings of each network on simulated ground.
        real_seeds: the same on the real survey.
        epochs: at most.
        patience: epochs without a lower validation loss before a training ends.
        grid: what is tried, once a network, with the first seed.
        importance_repeats: how often each channel is shuffled, for the chosen seed of the residual network.
        stride_px: step of the patches where ground is searched, pixels.
        real_stride_px: step of the patches that the sets of the real survey are cut with, cells.
        implanted_seeds: trainings of each network on the real scene with implanted ore.

    """

    size_px: int
    seeds: int
    real_seeds: int
    epochs: int
    patience: int
    grid: GridSettings
    importance_repeats: int
    stride_px: int = 5
    real_stride_px: int = 3
    implanted_seeds: int = 3

    def settings(self, row: Row, seed: int, chosen: Mapping[str, Any] | None) -> ProspectSettings:
        """Settings of a training.

        Args:
            row: of the table.
            seed: of weights and order.
            chosen: settings of the row's first training, whose width and learning rate are taken; None: this
                is the first, or a plain model.

        """
        own: dict[str, Any] = {}
        if row.is_network:
            own = {"epochs": self.epochs, "patience": self.patience}
            if chosen is not None:
                own |= {key: chosen[key] for key in ("width", "learning_rate")}
        return ProspectSettings(network=row.network, options=dict(row.options), seed=seed, **own)


PRESETS = {
    "tiny": Preset(
        size_px=300,
        seeds=2,
        real_seeds=1,
        epochs=4,
        patience=4,
        grid=GridSettings((64,), (1e-3, 3e-3), epochs=2),
        importance_repeats=1,
        real_stride_px=5,
        implanted_seeds=1,
    ),
    # all parts are to stay within 40 minutes on two cores
    "small": Preset(
        size_px=700,
        seeds=5,
        real_seeds=3,
        epochs=40,
        patience=8,
        grid=GridSettings((64, 256), (1e-3, 3e-3), epochs=8),
        importance_repeats=3,
    ),
    "full": Preset(
        size_px=1000,
        seeds=5,
        real_seeds=5,
        epochs=200,
        patience=50,
        grid=GridSettings(),
        importance_repeats=10,
        real_stride_px=2,
        implanted_seeds=5,
    ),
}


def preset_by_name(name: str) -> Preset:
    """The preset called ``name``.

    Raises:
        UsageError: there is none.

    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def model_name(part: str, row: Row, settings: ProspectSettings, grid: GridSettings | None, of: str) -> str:
    """Name of a training's model; another plan or another set gives another name.

    Args:
        part: of the experiment.
        row: of the table.
        settings: the training's, before the grid chooses.
        grid: what is tried first; None: nothing.
        of: name and digest of the set of patches.

    """
    tried = None if grid is None else [grid.widths, grid.learning_rates, grid.epochs]
    plan = json.dumps([settings.as_json(), row.leave_out_geology, tried, of], sort_keys=True)
    digest = hashlib.sha256(plan.encode()).hexdigest()[:8]
    return f"geology {part} {row.name} seed {settings.seed} {digest}"
