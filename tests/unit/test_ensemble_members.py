"""Which models may form an ensemble, and what is said of those that did."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from db.errors import UsageError
from db.registry import ModelRecord, StoredModel
from inference.ensembles.making import licence_of
from inference.ensembles.members import check_members
from inference.ensembles.report import result_lines

SPLIT = {"srid": 32645, "edge_m": 100.0, "blocks": [[1, 2, "train"], [2, 2, "validation"], [3, 2, "test"]]}
SCENES = [{"product": "quarry", "version": 1, "scene_id": 4}, {"product": "pit", "version": 2, "scene_id": 9}]
LATER = [{"product": "quarry", "version": 2, "scene_id": 11}, SCENES[1]]


def stored(name: str, sha256: str | None = None, training: Any = None, **changes: Any) -> StoredModel:
    values: dict[str, Any] = {
        "model_id": 1,
        "name": name,
        "task": "segmentation",
        "architecture": "unet",
        "options": {},
        "class_codes": list(range(8)),
        "mapped_codes": [0, 1, 6],
        "band_names": ["red", "nir"],
        "resolution_m": 2.0,
        "tile_px": 64,
        "normalisation": {},
        "training": {
            "processing_level": "reflectance",
            "split": dict(SPLIT),
            "scenes": list(SCENES),
            **(training or {}),
        },
        "history": [],
        "metrics": {},
        "versions": {},
        "trained_at": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        "temperature": 1.0,
        "licence": None,
        "retired_at": None,
        "retired_reason": None,
    }
    return StoredModel(ModelRecord(**{**values, **changes}), b"", sha256 or name * 64)


def test_members_may_differ_in_bands_networks_temperature_and_a_little_in_pixel_size() -> None:
    check_members(
        [
            stored("a"),
            stored("b", architecture="fcn", band_names=["blue"], temperature=2.0, resolution_m=2.4),
            stored("c", mapped_codes=[6, 1, 0], training={"scenes": SCENES[::-1]}),
        ]
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (stored("b", task="prospect"), "member b is for prospect"),
        (stored("b", architecture="ensemble", options={"members": [{"name": "x"}, {"name": "y"}]}),
         "member b is an ensemble itself: name its members instead, x, y"),
        (stored("b", retired_at=datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC), retired_reason="wrong"),
         r"b was retired on 2026-03-04.*\(wrong\)"),
        (stored("b", class_codes=[0, 1]), "a and b have different outputs"),
        (stored("b", mapped_codes=[0, 6]), r"different mapped classes, \[0, 1, 6\] and \[0, 6\]"),
        (stored("b", tile_px=128), "a and b have different windows, 64 px and 128 px"),
        (stored("b", resolution_m=10.0), "a and b have different pixel sizes, 2 m and 10 m"),
        (stored("b", training={"processing_level": "digital_number"}),
         "a and b have different units of the scenes, reflectance and digital_number"),
        (stored("b", training={"split": {**SPLIT, "edge_m": 50.0}}), "a and b .* on different splits"),
        (stored("b", training={"split": {"sample_set": "n", "digest": "d"}}), "on different splits"),
        (stored("b", training={"split": None}), "b does not say which ground"),
        (stored("b", training={"scenes": []}), "b does not say which ground"),
        (stored("b", training={"scenes": LATER}),
         r"different scenes, one of them only on quarry \(version 1\), quarry \(version 2\)"),
        (stored("b", training={"imported": {"scenes": []}}), "b was imported: .* another database"),
        (stored("b", sha256="a" * 64), "a and b are one network"),
    ],
)  # fmt: skip
def test_members_that_do_not_go_together_are_refused(other: StoredModel, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_members([stored("a"), other])
    with pytest.raises(UsageError):
        check_members([other, stored("a")])


def test_members_that_are_too_large_together_are_refused_before_hours_of_judging() -> None:
    half = [replace(stored(name), weights=bytes(500_000_000)) for name in ("a", "b")]
    check_members(half)
    with pytest.raises(UsageError, match=r"together 1,000,000,001 bytes, .* at most 1,000,000,000"):
        check_members([half[0], replace(half[1], weights=bytes(500_000_001))])


# ---- what is said and stored


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ({"a": None, "b": None}, None),
        ({"a": "CC BY 4.0", "b": "CC BY 4.0"}, "CC BY 4.0"),
        ({"a": "CC BY 4.0", "b": None}, "a: CC BY 4.0; b: not stated"),
        ({"a": "CC BY-NC 4.0", "b": "CC BY 4.0"}, "a: CC BY-NC 4.0; b: CC BY 4.0"),
    ],
)
def test_no_members_licence_is_lost(licences: dict[str, str | None], expected: str | None) -> None:
    assert licence_of(licences) == expected


def told(test: dict[str, float | None], together: float | None, weights: Sequence[float] = (0.4, 0.6)) -> str:
    """What is said when a is best on validation."""
    members = [
        {"name": name, "weight": weight, "validation_mean_iou": score}
        for name, weight, score in zip(("a", "b"), weights, (0.8, 0.7), strict=True)
    ]
    training = {"members": members, "validation_mean_iou": 0.85}
    metrics = {"mean_iou": together, "members": {name: {"mean_iou": value} for name, value in test.items()}}
    return "\n".join(result_lines(training, metrics))


def test_it_says_when_the_best_member_alone_would_do() -> None:
    assert "a alone, the best member on validation, does better on the test part (mean IoU 0.700" in told(
        {"a": 0.7, "b": 0.5}, 0.6
    )
    assert "does as well on the test part" in told({"a": 0.6, "b": 0.5}, 0.6)
    assert "runs 2 networks instead of 1" in told({"a": 0.6, "b": 0.5}, 0.6)


def test_the_best_member_is_chosen_on_validation_not_on_test() -> None:
    assert "alone" not in told({"a": 0.5, "b": 0.9}, 0.6)
    assert "alone" not in told({"a": None, "b": None}, None)


def test_a_member_without_weight_is_named() -> None:
    assert "b: no weight" in told({"a": 0.5, "b": 0.4}, 0.6, weights=(1.0, 0.0))
    assert "no weight" not in told({"a": 0.5, "b": 0.4}, 0.6)


def test_every_member_has_a_line_with_its_figures() -> None:
    lines = told({"a": 0.5, "b": 0.4}, 0.6).splitlines()
    assert lines[1].split() == ["a", "0.400", "0.800", "0.500"]
    assert lines[2].split() == ["b", "0.600", "0.700", "0.400"]
    assert lines[3].split() == ["ensemble", "0.850", "0.600"]
