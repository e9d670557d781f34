"""The simulated part: figures of the test ground, decoys there, and another district searched."""

from __future__ import annotations

from typing import Any

from db.connection import connect
from db.prospect_sets import SPLITS, prospect_set_by_name
from db.registry import ModelRecord
from inference.prospect.channels import GEOLOGY_KINDS, GeologyChoice
from inference.prospect.dataset import PatchSet, SetRequest
from inference.prospect.experiment.decoys import (
    answers_of,
    decoy_differences,
    decoy_figures,
    decoy_patches,
    ore_patches,
)
from inference.prospect.experiment.plan import MAIN, SIMULATED_ROWS
from inference.prospect.experiment.planted import Planted
from inference.prospect.experiment.rows import differences_to, patch_row
from inference.prospect.experiment.sets import kept_set
from inference.prospect.experiment.training import Bench, chosen_seed, importance_of, train_rows
from inference.prospect.experiment.transfer import search_other

GEOLOGY = GeologyChoice(GEOLOGY_KINDS["proximity"])
"""As the study has it, by inverse distance; for all parts whose ore was planted."""


def compare_simulated(bench: Bench, home: Planted, away: Planted, seeds: int) -> dict[str, Any]:
    """Train every row on one district, judge it on test ground and decoys, and search the other district.

    Args:
        bench: where and how.
        home: the district that is learned from; its geology and deposits are in the database.
        away: the district that is searched; its geology is in the database.
        seeds: trainings of each network.

    Returns:
        What `judge_planted` gives, and ``transfer``.

    """
    request = SetRequest(
        f"geology {home.product}",
        product=home.product,
        geology=GEOLOGY,
        deposits=(("deposit_type", "pegmatite"),),
        seed=1,
        is_relative=True,
        data="simulated",
    )
    models, found = judge_planted(bench, request, home, seeds)
    transfer = []
    for name, records in models.items():
        if name == "majority":
            continue
        bench.report(f"searching the second district: {name}")
        transfer.append(
            {"data": "simulated", "network": name, **search_other(bench, chosen_seed(records), away)}
        )
    return {**found, "transfer": transfer}


def judge_planted(
    bench: Bench, request: SetRequest, home: Planted, seeds: int
) -> tuple[dict[str, list[ModelRecord]], dict[str, Any]]:
    """Train every row where ore was planted, and judge it on test ground and decoys.

    Args:
        bench: where and how.
        request: the set of patches, if it is not there yet; its ``data`` is the part of the experiment, too.
        home: what was planted; its geology and deposits are in the database.
        seeds: trainings of each network.

    Returns:
        The models by row; and ``rows``, ``differences``, ``decoy_differences``, ``importance`` and ``set``.

    """
    data = request.data or ""
    patches = kept_set(bench.url, request, bench.report)
    models = train_rows(bench, data, patches, SIMULATED_ROWS, seeds)
    rows = [patch_row(data, name, records) for name, records in models.items()]
    with connect(bench.url, application_name="lode experiment") as conn:
        edge_m = float(prospect_set_by_name(conn, patches.name).parameters["block_m"])
    asked = {"ore": ore_patches(patches, home), **decoy_patches(patches, home, edge_m, request.step_px)}
    bench.report(
        f"{data} decoys on test ground: "
        + ", ".join(f"{kind} {len(at.rows)} patches at {at.count} places" for kind, at in asked.items())
    )
    answers = {name: answers_of(bench, records, patches, asked) for name, records in models.items()}
    for row in rows:
        row["decoys"] = decoy_figures(answers[row["network"]], asked)
    rivals = [name for name in models if name not in (MAIN, "majority")]
    apart = differences_to(models[MAIN], {name: models[name] for name in rivals})
    on_decoys = decoy_differences(answers[MAIN], {name: answers[name] for name in rivals}, asked)
    chosen = chosen_seed(models[MAIN])
    return models, {
        "set": _about(data, patches),
        "rows": rows,
        "differences": [{"data": data, **each} for each in apart],
        "decoy_differences": [{"data": data, **each} for each in on_decoys],
        "importance": {
            "data": data,
            "model": chosen.name,
            "channels": importance_of(bench, chosen, patches),
        },
    }


def _about(data: str, patches: PatchSet) -> dict[str, Any]:
    return {
        "data": data,
        "name": patches.name,
        "ground": patches.ground.name,
        "channels": [channel.name for channel in patches.ground.channels],
        "patch_px": patches.patch_px,
        "patches": len(patches.rows),
        "positives": int(patches.is_positive.sum()),
        "parts": {
            label: {
                "patches": int((patches.parts == part).sum()),
                "positives": int((patches.is_positive & (patches.parts == part)).sum()),
            }
            for part, label in enumerate(SPLITS)
        },
    }
