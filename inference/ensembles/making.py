"""`lode model ensemble`: trained models of the registry become one model that answers with their mean."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from db.classes import list_classes
from db.connection import connect
from db.registry import ModelRecord, NewModel, StoredModel, require_free_name
from inference.device import choose_device, describe_device
from inference.ensembles.answers import member_answers
from inference.ensembles.ground import changed_labels, pixels_of_part, scenes_of_members
from inference.ensembles.members import load_members
from inference.ensembles.mixture import equal_mixture, fit_mixture
from inference.ensembles.report import result_lines
from inference.networks.ensemble import Ensemble, ensemble_options
from inference.networks.ensemble_member import ENSEMBLE, Member, common_normalisation
from inference.segmentation_model import SegmentationModel, on_device, ready_model
from inference.training.baselines import majority_baseline, pixel_baseline
from inference.training.blocks import TEST, VALIDATION
from inference.training.calibrating import model_temperature
from inference.training.evaluation import evaluate
from inference.training.judging import figures_as_json, judge
from inference.training.keeping import keep_model
from inference.training.metrics import SegmentationMetrics
from inference.training.samples import TrainingScene
from inference.weights import weights_to_bytes

PACKAGES = ("lode", "numpy", "safetensors", "torch")


@dataclass(frozen=True)
class Assembled:
    """Trained models as one.

    Attributes:
        model: ready to predict, the plain mean until its network is weighed.
        network: of the model.
        members: what it is made of.
        records: the members' rows in the registry.

    """

    model: SegmentationModel
    network: Ensemble
    members: list[Member]
    records: list[ModelRecord]


def make_ensemble(
    url: str,
    name: str,
    member_names: Sequence[str],
    *,
    is_equal: bool = False,
    overlap_px: int | None = None,
    device_name: str | None = None,
    report: Callable[[str], None],
) -> ModelRecord:
    """Average trained models and store the result as a model of its own.

    Weights and temperature are fitted to the validation part of the members' ground. Then, once, ensemble and
    members are judged on its test part, on the same pixels.

    Args:
        url: libpq URL of the database.
        name: of the ensemble; must be free.
        member_names: models in the registry, two or more. They are copied into the ensemble, which does not
            depend on them afterwards.
        is_equal: keep to the plain mean.
        overlap_px: overlap of the windows in validation and test; None: as in use.
        device_name: cpu, cuda or cuda:<number>; None: CUDA where there is one.
        report: takes lines of text.

    Raises:
        UsageError: the name is taken, the members do not go together (see `check_members`), or no labels are
            left to fit or to judge with. Nothing is stored then.

    """
    begun = time.monotonic()
    device = choose_device(device_name)
    with connect(url, application_name="lode model ensemble") as conn:
        require_free_name(conn, name)
        members = load_members(conn, member_names)
        names = {each.code: each.key for each in list_classes(conn)}
        together = assembled(name, members, device)
        # read in a transaction of its own, which hours of judging do not keep open
        with connect(url, autocommit=True, application_name="lode model ensemble (reader)") as reading:
            scenes = scenes_of_members(conn, reading, together.records, together.model.band_names)
            new = _judged(together, scenes, names, is_equal, overlap_px, report)
        conn.rollback()
        new = replace(new, training={**new.training, "seconds": round(time.monotonic() - begun, 1)})
    return keep_model(url, new, report)


def assembled(name: str, stored: Sequence[StoredModel], device: torch.device) -> Assembled:
    """The plain mean of trained models, on a device."""
    models = [ready_model(one, device) for one in stored]
    members = [
        Member(
            name=one.record.name,
            sha256=one.sha256,
            architecture=one.record.architecture,
            options=one.record.options,
            band_names=model.band_names,
            normalisation=model.normalisation,
            temperature=one.record.temperature,
            weight=1 / len(models),
        )
        for one, model in zip(stored, models, strict=True)
    ]
    first, networks = models[0], [model.network for model in models]
    common = common_normalisation([one.normalisation for one in members])
    network = Ensemble(members, networks, common, first.mapped_outputs, len(first.class_codes))
    model = replace(
        first,
        model_id=0,
        name=name,
        network=on_device(network, device).eval(),
        band_names=common.band_names,
        normalisation=common,
        temperature=1.0,
    )
    return Assembled(model, network, members, [one.record for one in stored])


def _judged(
    together: Assembled,
    scenes: Sequence[TrainingScene],
    names: Mapping[int, str],
    is_equal: bool,
    overlap_px: int | None,
    report: Callable[[str], None],
) -> NewModel:
    """The ensemble with its weights, its temperature and its figures."""
    model, network, members = together.model, together.network, together.members
    report(f"{len(members)} members, bands {', '.join(model.band_names)}, {describe_device(model.device)}")
    for line in changed_labels(together.records[0].training, scenes):
        report(line)
    pixels = pixels_of_part(scenes, VALIDATION)
    report(f"asking each about {pixels:,} labelled pixels of validation")
    validation = member_answers(model, network, scenes, VALIDATION, overlap_px)
    mixture = (equal_mixture if is_equal else fit_mixture)(validation.sampled())
    network.weigh(mixture.weights)
    members = [replace(one, weight=weight) for one, weight in zip(members, mixture.weights, strict=True)]
    validated = evaluate(model, scenes, VALIDATION, overlap_px)
    temperature = model_temperature(model, scenes)
    model = replace(model, temperature=temperature.value)

    report("judging ensemble and members on the test part")
    metrics = judge(model, scenes, TEST, overlap_px).as_json(names)
    metrics["calibration"]["temperature"] = temperature.as_json()
    metrics["baselines"] = _baselines(model, scenes, names)
    test = member_answers(model, network, scenes, TEST, overlap_px)
    metrics["members"] = {
        one.name: figures_as_json(figures, names) for one, figures in zip(members, test.metrics, strict=True)
    }
    training = _training(together, members, validation.metrics) | {
        "settings": {"architecture": ENSEMBLE, "equal_weights": is_equal, "overlap_px": overlap_px},
        "mixture": mixture.as_json([one.name for one in members]),
        "validation_mean_iou": _or_null(validated),
    }
    for line in result_lines(training, metrics):
        report(line)
    return NewModel(
        name=model.name,
        task=together.records[0].task,
        architecture=ENSEMBLE,
        options=ensemble_options(members, model.normalisation, model.mapped_outputs),
        class_codes=model.class_codes,
        mapped_codes=model.mapped_codes,
        band_names=model.band_names,
        resolution_m=model.resolution_m,
        tile_px=model.tile_px,
        normalisation=model.normalisation.as_json(),
        training=training,
        history=[],
        metrics=metrics,
        versions={"python": platform.python_version()} | {each: version(each) for each in PACKAGES},
        weights=weights_to_bytes(network),
        temperature=temperature.value,
        licence=licence_of({record.name: record.licence for record in together.records}),
    )


def _training(
    together: Assembled, members: Sequence[Member], validation: Sequence[SegmentationMetrics]
) -> dict[str, Any]:
    """What the members were trained on, and what each of them is."""
    first = together.records[0].training
    return {
        "processing_level": together.model.processing_level,
        "scenes": first["scenes"],
        "split": first["split"],
        "pixels": first.get("pixels", {}),
        "members": [
            {
                "name": one.name,
                "sha256": one.sha256,
                "architecture": one.architecture,
                "weight": one.weight,
                "validation_mean_iou": _or_null(figures),
                "best_epoch": record.training.get("best_epoch"),
                "seconds": record.training.get("seconds"),
            }
            for one, record, figures in zip(members, together.records, validation, strict=True)
        ],
        # it has no epochs of its own
        "best_epoch": 0,
        "device": describe_device(together.model.device),
    }


def _baselines(
    model: SegmentationModel, scenes: Sequence[TrainingScene], names: Mapping[int, str]
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    codes = model.mapped_codes
    return {
        "majority_class": figures_as_json(majority_baseline(scenes, codes), names),
        "pixel_regression": figures_as_json(pixel_baseline(scenes, codes, model.normalisation, rng), names),
    }


def licence_of(licences: Mapping[str, str | None]) -> str | None:
    """Terms of an ensemble: those that all members share, else each member's own beside the others.

    Args:
        licences: of each member, by name.

    """
    different = set(licences.values())
    if len(different) == 1:
        return different.pop()
    return "; ".join(f"{name}: {terms or 'not stated'}" for name, terms in licences.items())


def _or_null(metrics: SegmentationMetrics) -> float | None:
    return None if np.isnan(metrics.mean_iou) else metrics.mean_iou
