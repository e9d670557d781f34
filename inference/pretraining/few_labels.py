"""`lode experiment few-labels`: whether pretraining without labels helps where there are few labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from db.classes import list_classes
from db.errors import UsageError
from inference.device import choose_device, describe_device
from inference.evaluation.bootstrap import bootstrap_differences
from inference.experiments.files import held, made_folder, write_text, write_whole
from inference.experiments.ground import ground_of, opened_material
from inference.experiments.summary import over_seeds
from inference.experiments.time_left import TimeLeft, in_words
from inference.pretraining.few_labels_plan import FewLabelsPreset, preset_by_name
from inference.pretraining.few_labels_report import csv_text, figure, findings, markdown
from inference.pretraining.few_labels_training import Given, plain_answers, train_once
from inference.pretraining.label_shares import PIECE_PX, pieces_of, share_of
from inference.pretraining.left_out import split_test_ground
from inference.pretraining.pretrain import PretrainingReport, pretrain
from inference.training.blocks import Split

NAME = "few_labels"
"""Of the files."""
STARTS = ("random", "pretrained")
Report = Callable[[str], None]


def run_few_labels(
    url: str,
    out: Path,
    *,
    preset_name: str,
    seeds: int | None = None,
    device_name: str | None = None,
    is_simulated: bool = True,
    report: Report,
) -> dict[str, Any]:
    """Pretrain once, train with each share of the labels from both starts, and write what came of it.

    The pretraining sees no pixel of the test blocks. What was trained is kept in ``few_labels/`` below
    ``out``, so that the same call goes on where it was cut off.

    Args:
        url: libpq URL of a database with labelled scenes.
        out: folder of few_labels.json, .md, .csv and .png; made if missing.
        preset_name: see `inference.pretraining.few_labels_plan.PRESETS`.
        seeds: trainings of each share and start, instead of the preset's.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        is_simulated: whether the scenes are made up; said in every file.
        report: takes lines of progress.

    Raises:
        UsageError: an unknown preset, labels that do not suffice, a training that failed.

    """
    preset = preset_by_name(preset_name)
    preset = preset if seeds is None else replace(preset, seeds=seeds)
    if preset.seeds < 1:
        raise UsageError(f"seeds is {preset.seeds}: at least 1 is needed, and 3 to know the spread")
    device = choose_device(device_name)
    folder = made_folder(out / NAME)
    with (
        held(folder),
        opened_material(url, preset.training, (), None, ()) as (conn, material),
    ):
        ground = ground_of(conn, material, None)
        names = {each.code: each.key for each in list_classes(conn)}
        pieces = pieces_of(conn, material)
        conn.rollback()  # hours of training keep no transaction open
        if not isinstance(material.ground, Split):
            raise TypeError("the ground was split by blocks")
        backbone = _backbone(url, folder, preset, material.ground, ground.labels, device_name, report)
        cases = [
            (share, seed, start)
            for seed in range(1, preset.seeds + 1)
            for share in preset.shares
            for start in STARTS
        ]
        told: dict[tuple[float, int], dict[str, Any]] = {}
        left = TimeLeft()
        for place, (share, seed, start) in enumerate(cases, 1):
            settings = replace(preset.training, seed=seed)
            identity = {
                "settings": settings.as_json(),
                "ground": ground.as_json(),
                "share": share,
                "piece_px": PIECE_PX,
                "torch": torch.__version__,
                "weights": _sha256(backbone) if start == "pretrained" else None,
            }
            path = folder / f"{_digest(identity)}.json"
            given = Given(material, share_of(material, pieces, share, seed), settings, device, names)
            if path.exists():
                found = json.loads(path.read_text(encoding="utf-8"))
            else:
                found = train_once(given, backbone if start == "pretrained" else None)
                write_text(path, json.dumps(found, allow_nan=False))
                left.learn(start, found["seconds"])
            here = told.setdefault((share, seed), {"pixels": int(given.share.pixels.sum())})
            here |= {start: found, "pieces": given.share.pieces, "true_share": given.share.share}
            if "plain" not in here:
                here["plain"] = plain_answers(given)
            report(
                f"{place}/{len(cases)} {share:.0%} of the labels, seed {seed}, {start}: mean IoU "
                f"{found['mean_iou']:.3f}; {in_words(left.estimate([each[2] for each in cases[place:]]))}"
            )
    result: dict[str, Any] = {
        "experiment": NAME,
        "preset": preset_name,
        "simulated": is_simulated,
        "device": describe_device(device),
        "seeds": list(range(1, preset.seeds + 1)),
        "data": ground.as_json(),
        "settings": preset.training.as_json(),
        "pretraining": _said(backbone),
        "rows": [_row(share, preset, told, names) for share in preset.shares],
    }
    result["findings"] = findings(result)
    _write(result, out)
    return result


def _backbone(
    url: str,
    folder: Path,
    preset: FewLabelsPreset,
    split: Split,
    labels: str,
    device_name: str | None,
    report: Report,
) -> Path:
    """The file of the pretrained backbone; trained where it is not there."""
    identity = {"settings": preset.pretraining.as_json(), "split": split.as_json(), "ground": labels}
    path = folder / f"backbone-{_digest(identity)}.safetensors"
    if path.exists():
        report(f"the backbone is pretrained already: {path}")
        return path
    pretrain(
        url,
        path,
        preset.pretraining,
        left_out_ground=[split_test_ground(split)],
        device_name=device_name,
        checkpoint=path.with_suffix(".checkpoint"),
        report=PretrainingReport(
            report,
            lambda each: report(
                f"pretraining, round {each.number}/{preset.pretraining.rounds}: validation loss "
                f"{each.validation_loss:.3f}, {each.seconds:.0f} s"
            ),
        ),
    )
    return path


def _said(backbone: Path) -> dict[str, Any]:
    """What the file of the backbone says of itself."""
    from safetensors import safe_open

    with safe_open(str(backbone), framework="pt") as file:
        said: dict[str, Any] = json.loads((file.metadata() or {})["lode"])
    return said


def _row(
    share: float,
    preset: FewLabelsPreset,
    told: Mapping[tuple[float, int], dict[str, Any]],
    names: Mapping[int, str],
) -> dict[str, Any]:
    """Figures of one share over its seeds."""
    here = [told[share, seed] for seed in range(1, preset.seeds + 1)]
    by_start = {start: [each[start] for each in here] for start in STARTS}
    gained = [each["pretrained"]["mean_iou"] - each["random"]["mean_iou"] for each in here]
    first = by_start["random"][0]["by_class"]
    return {
        "share": share,
        "true_share": over_seeds([each["true_share"] for each in here]),
        "pixels": over_seeds([each["pixels"] for each in here]),
        "pieces": over_seeds([each["pieces"] for each in here]),
        **{start: over_seeds([each["mean_iou"] for each in by_start[start]]) for start in STARTS},
        "difference": over_seeds(gained) | {"interval": _interval(by_start, names)},
        **{
            plain: over_seeds([each["plain"][plain] for each in here])
            for plain in ("pixel_regression", "majority_class")
        },
        "by_class": {
            key: {
                start: over_seeds([each["by_class"][key]["iou"] for each in by_start[start]])
                for start in STARTS
            }
            for key in first
            if first[key]["iou"] is not None
        },
        "seconds": {start: over_seeds([each["seconds"] for each in by_start[start]]) for start in STARTS},
    }


def _interval(by_start: Mapping[str, list[dict[str, Any]]], names: Mapping[int, str]) -> dict[str, Any]:
    """The difference when the test blocks are drawn anew, all seeds added up block by block."""
    codes = by_start["random"][0]["class_codes"]
    keys = [block["key"] for block in by_start["random"][0]["blocks"]]
    first, second = (_summed(by_start[start], keys) for start in STARTS)
    told = bootstrap_differences(first, second, codes).as_json(names)
    return {"blocks": told["blocks"], "level": told["level"], **told["mean_iou"]}


def _summed(figures: list[dict[str, Any]], keys: list[str]) -> NDArray[np.int64]:
    by_key = [
        {block["key"]: np.array(block["confusion"], np.int64) for block in each["blocks"]} for each in figures
    ]
    return np.stack([np.sum([each[key] for each in by_key], axis=0) for key in keys])


def _write(result: Mapping[str, Any], out: Path) -> None:
    write_text(out / f"{NAME}.md", markdown(result))
    write_text(out / f"{NAME}.csv", csv_text(result))
    write_whole(out / f"{NAME}.png", lambda path: figure(result).savefig(path, dpi=150))
    # the last one, so that where it is the others are too
    write_text(out / f"{NAME}.json", json.dumps(result, indent=1, allow_nan=False))


def _digest(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
