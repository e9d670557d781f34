"""Temperature scaling recovers what was planted, never harms, and takes any logits."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from db.errors import UsageError
from inference.evaluation.calibration import calibration_of
from inference.evaluation.temperature import LogitSample, Temperature, fit_temperature
from tests.unit.sampled_logits import planted

CODES = (0, 3, 6)


def nll(logits: Tensor, labels: Tensor) -> float:
    return float(torch.nn.functional.cross_entropy(logits.double(), labels))


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 1.6, 4.0, 30.0, 1e4])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    logits, labels = planted(temperature, 150_000, 4)
    fitted = fit_temperature(logits, labels)
    assert fitted.value == pytest.approx(temperature, rel=0.02)
    assert fitted.pixels == 150_000
    assert fitted.nll_before == pytest.approx(nll(logits, labels), rel=1e-9)
    assert fitted.nll_after == pytest.approx(nll(logits / fitted.value, labels), rel=1e-9)


def test_the_error_of_an_overconfident_network_goes_with_its_temperature() -> None:
    logits, labels = planted(3.0, 100_000, 5, classes=3)
    unseen, truth = planted(3.0, 100_000, 6, classes=3)
    reference = np.array(CODES, np.uint8)[truth.numpy()][None]
    before, after = (
        calibration_of(temperature.probabilities(unseen).T[None], reference, CODES)
        for temperature in (Temperature(), fit_temperature(logits, labels))
    )
    assert before.ece > 0.1
    assert before.overconfidence == pytest.approx(before.ece, abs=0.01)
    assert after.ece < 0.008
    assert after.mean_classwise_ece < 0.008 < before.mean_classwise_ece


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5), st.floats(-6, 6), st.floats(0, 1))
@settings(deadline=None, max_examples=200)
def test_the_likelihood_is_never_worse_and_no_other_temperature_is_better(
    seed: int, pixels: int, classes: int, magnitude: float, skill: float
) -> None:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 10**magnitude, (pixels, classes)))
    guessed = rng.integers(classes, size=pixels)
    labels = torch.where(
        torch.from_numpy(rng.random(pixels) < skill), logits.argmax(1), torch.from_numpy(guessed)
    )
    fitted = fit_temperature(logits, labels)
    assert math.isfinite(fitted.value)
    assert fitted.value > 0
    assert fitted.nll_after <= fitted.nll_before
    assert fitted.nll_after == pytest.approx(nll(logits / fitted.value, labels), rel=1e-6, abs=1e-9)
    if (logits.argmax(1) == labels).all():
        assert fitted.value == 1
        return
    spreads = logits.amax(1) - logits.mean(1)
    for other in np.geomspace(float(spreads.min()) / 50, float(spreads.max()) * 1000, 60):
        assert fitted.nll_after <= nll(logits / other, labels) * (1 + 1e-9)


def test_the_optimum_agrees_with_lbfgs() -> None:
    logits, labels = planted(2.2, 5_000, 7)
    log_value = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [log_value], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits / log_value.exp(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    assert fit_temperature(logits, labels).value == pytest.approx(math.exp(log_value.item()), rel=1e-5)


def test_labels_that_say_nothing_leave_the_logits_alone() -> None:
    logits, _ = planted(1.0, 100, 8)
    assert fit_temperature(logits, logits.argmax(dim=1)).value == 1
    assert fit_temperature(logits[:, :1], torch.zeros(100, dtype=torch.long)).value == 1
    assert fit_temperature(torch.full((9, 3), 7.0), torch.zeros(9, dtype=torch.long)).value == 1
    assert fit_temperature(logits[:0], torch.zeros(0, dtype=torch.long)) == Temperature()
    assert LogitSample().temperature() == Temperature()


def test_one_class_in_the_labels_is_enough() -> None:
    logits, labels = planted(5.0, 60_000, 9)
    chosen = labels == 2
    fitted = fit_temperature(logits[chosen], labels[chosen])
    assert fitted.nll_after < fitted.nll_before
    assert fitted.value == pytest.approx(5.0, rel=0.35)


def test_a_network_worse_than_chance_is_made_to_say_so() -> None:
    logits, _ = planted(1.0, 500, 10)
    fitted = fit_temperature(logits, logits.argmin(dim=1))
    assert fitted.probabilities(logits).amax() < 0.202
    assert fitted.nll_after == pytest.approx(math.log(5), rel=1e-3)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_temperature_is_found_in_narrow_logits(kind: torch.dtype) -> None:
    logits, labels = planted(2.5, 150_000, 11)
    fitted = fit_temperature(logits.to(kind), labels)
    assert fitted.value == pytest.approx(2.5, rel=0.02)
    assert fitted.nll_before == pytest.approx(nll(logits.to(kind), labels), rel=1e-9)


def test_few_pixels_with_huge_logits_do_not_hide_the_others() -> None:
    logits, labels = planted(2.5, 50_000, 15)
    alone = fit_temperature(logits, labels)
    logits, labels = (
        torch.cat((logits, torch.zeros(5, 5))),
        torch.cat((labels, torch.zeros(5, dtype=torch.long))),
    )
    logits[-5:, 0] = 1e12
    assert fit_temperature(logits, labels).value == pytest.approx(alone.value, rel=1e-3)


def test_a_mistake_by_next_to_nothing_asks_for_no_bound_on_how_sure_to_be() -> None:
    logits = torch.tensor([[8.0, 0.0, 0.0]] * 9 + [[-1e-300, 0.0, -8.0]], dtype=torch.float64)
    fitted = fit_temperature(logits, torch.zeros(10, dtype=torch.long))
    # the flattest pixel's best logit stands 8 / 3 above the mean; 50 is as sure as it gets
    assert fitted.value == pytest.approx(8 / 3 / 50)
    assert fitted.nll_after <= fitted.nll_before


@pytest.mark.parametrize("size", [1e5, 1e20, 1e37])
@pytest.mark.parametrize("value", [0.01, 1.0, 1e6])
def test_huge_logits_stay_probabilities(size: float, value: float) -> None:
    logits = torch.tensor([[size, -size, 0.0], [size, size, -size], [3.0, 2.0, 1.0]])
    shares = Temperature(value).probabilities(logits)
    assert shares.dtype == torch.float32
    assert torch.isfinite(shares).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(3))
    assert (shares.argmax(dim=1) == logits.argmax(dim=1)).all()
    fitted = fit_temperature(logits, torch.tensor([1, 0, 0]))
    assert math.isfinite(fitted.value)
    assert fitted.nll_after <= fitted.nll_before


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 50))
@settings(deadline=None)
def test_a_temperature_changes_no_answer_and_is_a_division(seed: int, value: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (2, 4, 3, 3)))
    applied = Temperature(value).apply(logits)
    assert applied.shape == logits.shape
    assert (applied.argmax(dim=1) == logits.argmax(dim=1)).all()
    shares = Temperature(value).probabilities(logits)
    torch.testing.assert_close(shares, torch.softmax(logits / value, dim=1).float(), atol=1e-5, rtol=1e-4)
    other_axis = Temperature(value).probabilities(logits.movedim(1, 3), dim=3)
    torch.testing.assert_close(other_axis.movedim(3, 1), shares)


def test_a_temperature_is_stored_and_read_back() -> None:
    fitted = fit_temperature(*planted(2.0, 1000, 12))
    assert Temperature.from_json(json.loads(json.dumps(fitted.as_json(), allow_nan=False))) == fitted


@pytest.mark.parametrize(
    "broken", [{}, {"value": "warm"}, {"value": None}, {"value": 0}, {"value": -1}, {"value": math.inf}]
)
def test_a_stored_temperature_that_is_none_is_an_error(broken: dict[str, object]) -> None:
    stored = {**Temperature().as_json(), **broken} if broken else {}
    with pytest.raises(UsageError, match="calibrate again"):
        Temperature.from_json(stored)


def test_a_sample_of_windows_holds_the_labelled_pixels() -> None:
    logits, labels = planted(2.0, 600, 13, classes=3)
    windows = logits.reshape(6, 10, 10, 3).movedim(3, 1)
    truth = labels.reshape(6, 10, 10).clone()
    truth[:, 4:] = 255
    sample = LogitSample()
    for first in (0, 1, 4):
        part = slice(first, {0: 1, 1: 4, 4: 6}[first])
        sample.add(windows[part], truth[part].to(torch.uint8))
    chosen = truth.flatten() != 255
    assert sample.temperature().pixels == 240
    assert sample.temperature().value == pytest.approx(
        fit_temperature(logits[chosen], labels[chosen]).value, rel=1e-5
    )


def test_a_sample_is_drawn_evenly_and_however_it_is_cut() -> None:
    logits, labels = planted(3.0, 40_000, 14)
    logits[:, 0] += torch.arange(40_000) * 1e-9  # so that pixels can be told apart

    def kept(step: int) -> Tensor:
        sample = LogitSample(pixels=4_000, seed=1)
        for first in range(0, 40_000, step):
            sample.add(logits[first : first + step].T[None], labels[first : first + step][None])
            assert sample._held <= 8_000 + step
        assert sample.temperature().pixels == 4_000
        assert sample.temperature().value == pytest.approx(3.0, rel=0.08)
        return sample._logits[0]

    torch.testing.assert_close(kept(1_000), kept(7_777), rtol=0, atol=0)
    places = (kept(1_000)[:, None, 0] == logits[:, 0].float()[None, ::1]).int().argmax(dim=1)
    quarters = torch.bincount(places // 10_000, minlength=4)
    assert (abs(quarters - 1_000) < 120).all()


def test_logits_that_are_not_finite_are_an_error_only_where_labelled() -> None:
    logits = torch.zeros(1, 3, 4, dtype=torch.float16)
    logits[0, 1, 2] = torch.inf
    LogitSample().add(logits, torch.tensor([[0, 1, 255, 2]]))
    with pytest.raises(UsageError, match="1 of 4 labelled pixels"):
        LogitSample().add(logits, torch.tensor([[0, 1, 0, 2]]))
    with pytest.raises(UsageError, match="1 of 4 labelled pixels"):
        fit_temperature(logits[0].T, torch.tensor([0, 1, 0, 2]))


def test_labels_that_are_no_place_of_an_output_are_an_error() -> None:
    with pytest.raises(ValueError, match="places of 3 outputs"):
        LogitSample().add(torch.zeros(1, 3, 2), torch.tensor([[0, 3]]))
    with pytest.raises(ValueError, match="places of 3 outputs"):
        LogitSample().add(torch.zeros(1, 3, 2), torch.tensor([[0, -1]]))
    with pytest.raises(ValueError, match="do not fit"):
        LogitSample().add(torch.zeros(1, 3, 2), torch.tensor([[0, 1, 2]]))
