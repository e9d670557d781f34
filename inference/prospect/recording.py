"""`lode train prospect`: a set of patches becomes a model in the registry."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from psycopg import Connection

from db.connection import connect
from db.evidence import list_areas, list_layers
from db.prospect_sets import prospect_set_by_name
from db.registry import ModelRecord, NewModel, model_by_name, require_free_name
from db.scenes import scene_by_id
from inference.device import describe_device
from inference.prospect.dataset import PatchSet, load_set
from inference.prospect.figures import Judged, ProspectFigures, prospect_figures
from inference.prospect.importance import Importance, permutation_importance
from inference.prospect.learning import (
    MAJORITY_THRESHOLD,
    Learned,
    LearningReport,
    judge,
    learn,
    part_of_set,
    without_geology,
)
from inference.prospect.matching import EvidenceFacts
from inference.prospect.settings import PROSPECT, GridSettings, ProspectSettings
from inference.training.blocks import SPLIT_NAMES, TEST, TRAIN
from inference.training.keeping import keep_model
from inference.training.processes import training_device

NETWORK_PACKAGES = ("lode", "numpy", "safetensors", "scikit-learn", "torch")
PLAIN_PACKAGES = ("lode", "numpy", "scikit-learn", "skops")
THRESHOLD_RULE = "the highest balanced accuracy on the validation patches"


def train_prospect(
    url: str,
    name: str,
    set_name: str,
    settings: ProspectSettings,
    *,
    grid: GridSettings | None = None,
    leave_out_geology: bool = False,
    device_name: str | None = None,
    importance_repeats: int = 0,
    report: LearningReport = LearningReport(),  # noqa: B008 - frozen
) -> ModelRecord:
    """Train a model on a set of patches of the database and store it in the registry.

    The test patches are looked at once, when everything is chosen. A training that is killed leaves nothing.

    Args:
        url: libpq URL of the database.
        name: of the model; must be free.
        set_name: of the set.
        settings: how.
        grid: widths and learning rates to try first; None: those of the settings.
        leave_out_geology: learn from bands or evidence alone.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        importance_repeats: how often each channel is shuffled on the test patches, see
            `inference.prospect.importance`; 0: the importance of the channels is not asked for.
        report: hears of the progress.

    Raises:
        UsageError: the name is taken, there is no such set, or as `learn`. Nothing is stored then.

    """
    device = training_device(device_name) if settings.is_network else torch.device("cpu")
    begun = time.monotonic()
    with connect(url, application_name="lode train prospect") as conn:
        require_free_name(conn, name)
        patches = load_set(conn, set_name, report=report.line)
        facts = set_facts(conn, patches)
        # rasters of geology that had to be computed anew
        conn.commit()
    channels = patches.ground.channels
    places = without_geology(channels) if leave_out_geology else None
    _tell(patches, settings, device, report)
    learned = learn(patches, settings, device=device, name=name, grid=grid, places=places, report=report)
    judged = judge(learned.model, patches)
    seconds = round(time.monotonic() - begun, 1)
    importance = _importance(learned, patches, importance_repeats)
    new = new_model(learned, patches, judged, facts, device, seconds, importance)
    keep_model(url, new, report.line)
    with connect(url, application_name="lode train prospect") as conn:
        return model_by_name(conn, name)


def set_facts(conn: Connection[Any], patches: PatchSet) -> dict[str, Any]:
    """What a model must remember of its set to be used elsewhere, also when the set is gone.

    Returns:
        ``geology``: settings of its rasters. ``processing_level``: of the scene, None for a study area.
        ``evidence``: kind, element and unit by layer of a study area. And how patches were labelled and
        split, and whether the ground is real.

    """
    stored = prospect_set_by_name(conn, patches.name)
    ground = patches.ground
    level, evidence = None, {}
    if ground.scene_id is not None:
        level = scene_by_id(conn, ground.scene_id).processing_level
    elif ground.evidence_area_id is not None:
        used = {channel.name for channel in ground.channels if channel.kind == "evidence"}
        [area] = [each for each in list_areas(conn) if each.evidence_area_id == ground.evidence_area_id]
        layers = [layer for layer in list_layers(conn, area) if layer.name in used]
        evidence = {layer.name: EvidenceFacts.of(layer).as_json() for layer in layers}
    return {
        "prospect_set_id": patches.prospect_set_id,
        "processing_level": level,
        "evidence": evidence,
        "geology": stored.parameters.get("geology") or {},
        "labels": {
            "buffer_m": stored.buffer_m,
            "positive_share": stored.positive_share,
            "deposits": len(stored.deposit_ids),
        },
        "split_rule": stored.split_rule,
        "warnings": stored.parameters.get("warnings", []),
        "data": stored.parameters.get("data"),
    }


def new_model(
    learned: Learned,
    patches: PatchSet,
    judged: Judged,
    facts: Mapping[str, Any],
    device: torch.device,
    seconds: float,
    importance: Sequence[Importance] = (),
) -> NewModel:
    """What is stored of a model.

    Args:
        learned: the model.
        patches: the set it was trained on.
        judged: its answers on the test patches.
        facts: of the set, see `set_facts`.
        device: where it was trained.
        seconds: it took, from the reading of the set to the judgement.
        importance: of its channels on the test patches, where somebody asked for it.

    """
    model, settings = learned.model, learned.settings
    packages = NETWORK_PACKAGES if settings.is_network else PLAIN_PACKAGES
    figures = prospect_figures(judged)
    geology = [channel.name for channel in model.channels if channel.kind == "geology"]
    return NewModel(
        name=model.name,
        task=PROSPECT,
        architecture=model.architecture,
        options=learned.options,
        class_codes=(0, 1),
        mapped_codes=(0, 1),
        band_names=tuple(channel.name for channel in model.channels),
        resolution_m=model.spacing_m,
        tile_px=model.patch_px,
        normalisation=model.normalisation.as_json(),
        training={
            **facts,
            "set": patches.name,
            "split": {"sample_set": patches.name, "digest": set_digest(patches)},
            "ground": patches.ground.name,
            "geology_digest": patches.ground.geology_digest,
            "channels": [channel.as_json() for channel in model.channels],
            "geology": {**facts["geology"], "bands": geology} if geology else None,
            "settings": settings.as_json(),
            "threshold": model.threshold,
            "threshold_rule": None if settings.network == "majority" else THRESHOLD_RULE,
            "patches": part_counts(patches),
            "trials": [trial.as_json() for trial in learned.trials],
            "best_epoch": None if learned.best is None else learned.best.epoch,
            "device": describe_device(device),
            "seconds": seconds,
        },
        history=[epoch.as_json() for epoch in learned.history],
        metrics={
            **figures.as_json(),
            "baselines": {"majority": majority_figures(patches, judged).as_json()},
            "test": judged.as_json(),
            **({"importance": [each.as_json() for each in importance]} if importance else {}),
        },
        versions={"python": platform.python_version()} | {each: version(each) for each in packages},
        weights=model.scorer.as_bytes(),
    )


def _importance(learned: Learned, patches: PatchSet, repeats: int) -> list[Importance]:
    """Of the channels on the test patches.

    None where nobody asked, where the patches are of one class, or of the commonest answer, which goes by no
    channel.
    """
    if repeats == 0 or learned.settings.network == "majority":
        return []
    model = learned.model
    values, is_positive, _blocks = part_of_set(model, patches, TEST)
    if not is_positive.any() or is_positive.all():
        return []
    return permutation_importance(
        model.patch_probabilities, values, is_positive, model.channels, model.threshold, repeats=repeats
    )


def majority_figures(patches: PatchSet, judged: Judged) -> ProspectFigures:
    """Figures of whoever answers everywhere what most training patches are."""
    share = float(patches.is_positive[patches.parts == TRAIN].mean())
    constant = np.full(len(judged.blocks), share)
    return prospect_figures(replace(judged, probabilities=constant, threshold=MAJORITY_THRESHOLD))


def part_counts(patches: PatchSet) -> dict[str, dict[str, int]]:
    """Patches with and without ore, and blocks, of each part."""
    counts = {}
    for part, name in enumerate(SPLIT_NAMES):
        chosen = patches.parts == part
        ore = int(patches.is_positive[chosen].sum())
        counts[name] = {
            "ore": ore,
            "barren": int(chosen.sum()) - ore,
            "blocks": len(np.unique(patches.blocks[chosen])),
        }
    return counts


def set_digest(patches: PatchSet) -> str:
    """SHA-256 of where the patches lie, their labels, parts and blocks: equal sets are split alike."""
    digest = hashlib.sha256(f"{patches.ground.name} {patches.patch_px}".encode())
    for each in (patches.rows, patches.cols, patches.is_positive, patches.parts, patches.blocks):
        digest.update(np.ascontiguousarray(each, np.int64).tobytes())
    return digest.hexdigest()


def _tell(
    patches: PatchSet, settings: ProspectSettings, device: torch.device, report: LearningReport
) -> None:
    counts = part_counts(patches)
    report.line(
        f"set {patches.name} on {patches.ground.name}: {len(patches.ground.channels)} channels, patches of "
        f"{patches.patch_px} px; {settings.network} on {describe_device(device)}"
    )
    for part, each in counts.items():
        report.line(
            f"{part}: {each['ore']} patches with ore, {each['barren']} without, {each['blocks']} blocks"
        )
    if min(counts["test"]["ore"], counts["test"]["barren"]) == 0:
        report.line("the test part has one class only: most figures will have no meaning")
