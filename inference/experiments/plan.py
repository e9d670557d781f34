"""What an experiment trains, fixed before the first network, so that a later call goes on with the same."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from db.errors import UsageError
from db.registry import ModelRecord
from inference.experiments.files import write_text
from inference.experiments.ground import Ground
from inference.experiments.presets import Preset, preset_by_name
from inference.experiments.rows import Row
from inference.training.differences import differences
from inference.training.settings import TrainingSettings

PLAN_FILE = "plan.json"


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Attributes:
        experiment: key of `inference.experiments.rows.EXPERIMENTS`.
        preset: key of `inference.experiments.presets.PRESETS`.
        rows: networks, in the order of the table.
        seeds: of the trainings of each row.
        settings: what all trainings share.
        ground: what they are trained and tested on.
        is_simulated: whether that ground was made up.

    """

    experiment: str
    preset: str
    rows: tuple[Row, ...]
    seeds: tuple[int, ...]
    settings: TrainingSettings
    ground: Ground
    is_simulated: bool

    @property
    def budget(self) -> Preset:
        """The preset."""
        return preset_by_name(self.preset)

    @property
    def trainings(self) -> list[tuple[Row, int]]:
        """Row and seed of every training: all rows of a seed before the next seed."""
        return [(row, seed) for seed in self.seeds for row in self.rows]

    def settings_of(self, row: Row, seed: int) -> TrainingSettings:
        """Settings of one training."""
        backbone = self.budget.backbone_of(row.architecture)
        return replace(self.settings, architecture=row.architecture, backbone=backbone, seed=seed)

    def differences(self, record: ModelRecord, row: Row, seed: int) -> list[str]:
        """What a stored model was trained with otherwise than planned, in words; empty: nothing."""
        found = {
            "settings": record.training.get("settings"),
            **{key: record.training.get(key) for key in ("scenes", "split", "pixels")},
            "bands": list(record.band_names),
        }
        wanted = {"settings": self.settings_of(row, seed).as_json(), **self.ground.of_models()}
        return differences(found, _plain(wanted))

    def as_json(self) -> dict[str, Any]:
        """What must not change between two calls; more seeds or rows may be added."""
        shared = self.settings.as_json()
        for each in ("architecture", "backbone", "seed"):
            del shared[each]
        plan: dict[str, Any] = _plain(
            {
                "experiment": self.experiment,
                "preset": self.preset,
                "settings": shared,
                "data": self.ground.as_json(),
                "simulated": self.is_simulated,
            }
        )
        return plan


def open_plan(folder: Path, plan: Plan, name: str, taken: Collection[str], *, is_fresh: bool) -> str:
    """Name that the models of an experiment begin with, noted in its folder with the plan.

    Args:
        folder: of the experiment; may hold the plan of an earlier call.
        plan: of this call.
        name: wanted name.
        taken: names of all models there are.
        is_fresh: forget the earlier call: a number is added to the name while models have it.

    Raises:
        UsageError: the folder holds another plan or name, or cannot be written to.

    """
    path = folder / PLAN_FILE
    stored = None if is_fresh else _stored(path)
    if stored is not None:
        others = differences(stored["plan"], plan.as_json())
        if stored["base"] != name:
            others.insert(0, f"name was {stored['base']!r}, is {name!r}")
        if others:
            raise UsageError(
                f"{folder} holds an experiment that was begun otherwise: {'; '.join(others[:3])}. Go on with "
                "what it was begun with, begin anew with --fresh, or choose another --out"
            )
        return str(stored["name"])
    chosen, number = name, 1
    while is_fresh and any(
        model.startswith(f"{chosen} {row.network} seed ") for model in taken for row in plan.rows
    ):
        number += 1
        chosen = f"{name} {number}"
    if is_fresh:
        for checkpoint in folder.glob("*.checkpoint*"):
            checkpoint.unlink(missing_ok=True)
    content = {"name": chosen, "base": name, "plan": plan.as_json()}
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return chosen


def _stored(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
        found = {"name": str(content["name"]), "base": str(content["base"]), "plan": content["plan"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error!r}): begin anew with --fresh, or choose another --out"
        ) from error
    return found


def _plain(value: Any) -> Any:
    """The value as it comes back from JSON: tuples are lists there."""
    return json.loads(json.dumps(value))
