"""Calibration errors, against samplers whose confidence and whose truth are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from inference.evaluation.calibration import BINS, Calibration, calibration_of
from inference.evaluation.temperature import Temperature
from tests.unit.sampled_logits import drawn, planted

CODES = (0, 3, 6)
NAMES = {0: "background", 3: "living_area", 6: "open_pit"}


def claimed(shares: list[list[float]], codes: list[int]) -> Calibration:
    """Of pixels in a row with probabilities (pixels, classes)."""
    return calibration_of(
        torch.tensor(shares, dtype=torch.float64).T[None], np.array([codes], np.uint8), CODES
    )


def test_errors_by_hand() -> None:
    found = claimed([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.3, 0.7, 0.0], [0.5, 0.5, 0.0]], [0, 3, 3, 255])
    # bin of 0.9: two of mean 0.9 with one hit; bin of 0.7: one with one hit
    assert found.pixels == 3
    assert found.ece == pytest.approx((2 * 0.4 + 0.3) / 3)
    assert found.overconfidence == pytest.approx((2 * 0.4 - 0.3) / 3)
    np.testing.assert_allclose(found.ece_of_called, [0.4, 0.3, np.nan])
    # background: 0.9 twice with one hit, 0.3 once with none; living area: 0.1 twice with one hit, 0.7 once
    np.testing.assert_allclose(found.classwise_ece, [(0.8 + 0.3) / 3, (0.8 + 0.3) / 3, np.nan])
    assert found.mean_classwise_ece == pytest.approx(1.1 / 3)


def test_bins_are_open_below_and_closed_above() -> None:
    found = claimed([[0.4, 0.35, 0.25], [0.4 + 1e-9, 0.3, 0.3 - 1e-9], [1.0, 0.0, 0.0]], [0, 0, 0])
    pixels = found.called.pooled.pixels[0]
    # 0.4 is the upper end of the sixth of fifteen bins
    assert pixels.nonzero()[0].tolist() == [5, 6, 14]
    assert found.claimed.pixels[1].nonzero()[0].tolist() == [0, 4, 5]
    assert found.claimed.pixels.sum(axis=1).tolist() == [3, 3, 3]


def test_a_network_that_knows_how_sure_to_be_has_no_error() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([0.6, 0.5, 0.4], 300_000)
    reference = np.array(CODES, np.uint8)[drawn(shares, rng)]
    found = calibration_of(torch.from_numpy(shares.T[None]), reference[None], CODES)
    # with 20,000 pixels in a bin the share of hits is off by 0.3 %
    assert found.ece < 0.004
    assert abs(found.overconfidence) < 0.004
    assert (found.classwise_ece < 0.004).all()
    assert (found.ece_of_called < 0.006).all()


@pytest.mark.parametrize(("probability", "hits"), [(0.9, 700), (0.6, 100), (0.75, 950), (1.0, 1000)])
def test_the_error_is_the_gap_that_was_planted(probability: float, hits: int) -> None:
    shares = np.full((1, 3, 1000), (1 - probability) / 2)
    shares[:, 2] = probability
    reference = np.full((1, 1000), 3, np.uint8)
    reference[:, :hits] = 6
    found = calibration_of(torch.from_numpy(shares), reference, CODES)
    assert found.ece == pytest.approx(abs(probability - hits / 1000), abs=1e-12)
    assert found.overconfidence == pytest.approx(probability - hits / 1000, abs=1e-12)
    assert found.ece_of_called[2] == found.ece
    assert np.isnan(found.ece_of_called[:2]).all()
    row = next(row for row in found.table() if row["pixels"])
    assert row["pixels"] == 1000
    assert row["hit_rate"] == hits / 1000
    assert row["probability"] == pytest.approx(probability)
    assert row["low"] < probability <= row["high"]  # type: ignore[operator]


def test_parts_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(2)
    shares = torch.softmax(torch.from_numpy(rng.normal(0, 2, (6, 3, 20, 10))), dim=1)
    reference = rng.choice([0, 3, 6, 255], (6, 20, 10)).astype(np.uint8)
    whole = calibration_of(shares, reference, CODES)
    parts = Calibration.nothing(CODES)
    for part in (slice(0, 1), slice(1, 4), slice(4, 4), slice(4, 6)):
        parts += calibration_of(shares[part], reference[part], CODES)
    assert parts.ece == pytest.approx(whole.ece, abs=1e-12)
    np.testing.assert_allclose(parts.classwise_ece, whole.classwise_ece, atol=1e-12)
    np.testing.assert_array_equal(parts.called.pixels, whole.called.pixels)
    assert whole.pixels == (reference != 255).sum()


def test_a_pixel_that_the_network_cannot_answer_is_a_miss() -> None:
    found = claimed([[0.8, 0.1, 0.1]], [5])
    assert found.ece == pytest.approx(0.8)
    assert np.isnan(found.mean_classwise_ece)


def test_no_labels_one_class_and_one_output() -> None:
    nothing = calibration_of(torch.full((1, 3, 4), 1 / 3), np.full((1, 4), 255, np.uint8), CODES)
    assert nothing.pixels == 0
    assert np.isnan([nothing.ece, nothing.overconfidence, nothing.mean_classwise_ece]).all()
    stored = nothing.as_json(NAMES)
    assert stored["ece"] is None
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    alone = calibration_of(torch.ones(1, 1, 4), np.zeros((1, 4), np.uint8), (0,))
    assert alone.ece == 0


def test_what_is_not_labelled_may_hold_anything() -> None:
    shares = torch.full((1, 3, 2), torch.nan)
    shares[0, :, 0] = torch.tensor([0.5, 0.25, 0.25])
    found = calibration_of(shares, np.array([[0, 255]], np.uint8), CODES)
    assert found.ece == 0.5


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_narrow_floats_are_taken(kind: torch.dtype) -> None:
    logits, labels = planted(1.0, 20_000, 3, classes=3)
    reference = np.array(CODES, np.uint8)[labels.numpy()]
    shares = Temperature().probabilities(logits.to(kind))
    assert shares.dtype == torch.float32
    assert calibration_of(shares.T[None], reference[None], CODES).ece < 0.015
    narrow = torch.softmax(logits, dim=1).to(kind)
    assert calibration_of(narrow.T[None], reference[None], CODES).ece < 0.015


def test_logits_are_not_probabilities() -> None:
    with pytest.raises(ValueError, match="logits"):
        calibration_of(torch.tensor([[[2.0], [-1.0], [0.0]]]), np.zeros((1, 1), np.uint8), CODES)
    with pytest.raises(ValueError, match="logits"):
        calibration_of(torch.full((1, 3, 1), torch.nan), np.zeros((1, 1), np.uint8), CODES)


def test_what_does_not_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        calibration_of(torch.ones(1, 2, 4), np.zeros((1, 4), np.uint8), CODES)
    with pytest.raises(ValueError, match="do not fit"):
        calibration_of(torch.ones(1, 3, 4), np.zeros((1, 5), np.uint8), CODES)
    with pytest.raises(ValueError, match="do not fit"):
        calibration_of(torch.ones(1, 3, 4), np.zeros((1, 4), np.uint8), CODES, bins=0)
    with pytest.raises(ValueError, match="does not add"):
        Calibration.nothing(CODES) + Calibration.nothing(CODES, bins=10)


def test_only_json_leaves() -> None:
    stored = claimed([[0.9, 0.1, 0.0], [0.3, 0.7, 0.0]], [0, 0]).as_json(NAMES)
    assert json.loads(json.dumps(stored, allow_nan=False)) == stored
    assert len(stored["reliability"]) == BINS
    assert stored["by_class"]["open_pit"] == {"code": 6, "ece_of_called": None, "classwise_ece": None}
