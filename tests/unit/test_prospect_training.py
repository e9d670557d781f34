"""Training on patches: settings, weights of classes, symmetries, the best epoch, the threshold, the grid."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from db.errors import UsageError
from inference.prospect import train
from inference.prospect.networks import build_prospect_network
from inference.prospect.search import search_grid
from inference.prospect.settings import GridSettings, ProspectSettings
from inference.prospect.train import (
    DivergedError,
    LabelledPatches,
    balanced_accuracy,
    choose_threshold,
    class_weights,
    fit_network,
    network_probabilities,
    turned,
)
from inference.weights import weights_to_bytes
from tests.unit.prospect_patches import labelled

CPU = torch.device("cpu")
QUICK = ProspectSettings(width=8, epochs=4, batch_size=32)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": "vit"}, "unknown network 'vit': choose one of gcn_residual, gcn, cnn, svm"),
        ({"width": 0}, "width is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"patience": 0}, "patience is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"weight_decay": math.nan}, "weight_decay is nan"),
        ({"weight_averaging": 1.0}, "weight_averaging is 1.0"),
        ({"weight_averaging": math.nan}, "weight_averaging is nan"),
        ({"time_limit_s": 0.0}, "time_limit_s is 0.0"),
        ({"options": {"hidden": 3}}, "give it as --width"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProspectSettings(**changed)  # type: ignore[arg-type]


def test_the_default_is_what_the_study_trained() -> None:
    settings = ProspectSettings()
    stored = settings.as_json()
    assert (stored["network"], stored["width"], stored["learning_rate"]) == ("gcn_residual", 256, 1e-3)
    assert (stored["epochs"], stored["augmentation"]) == (200, False)
    assert ProspectSettings(network="cnn").as_json()["augmentation"] is True
    assert ProspectSettings(network="svm").as_json() == {"network": "svm", "options": {}, "seed": 1}


def test_classes_weigh_alike() -> None:
    barren, ore = class_weights(np.array([True] + [False] * 4))
    assert (barren * 4, ore * 1) == pytest.approx((2.5, 2.5))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    training, validation = labelled(70, 1), labelled(40, 2)
    before = torch.random.get_rng_state()
    first, again = (fit_network(training, validation, QUICK, CPU) for _ in range(2))
    assert weights_to_bytes(first.network) == weights_to_bytes(again.network)
    assert [replace(epoch, seconds=0) for epoch in first.history] == [
        replace(epoch, seconds=0) for epoch in again.history
    ]
    other = fit_network(training, validation, replace(QUICK, seed=2), CPU)
    assert weights_to_bytes(other.network) != weights_to_bytes(first.network)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("network", ["gcn_residual", "gcn", "cnn"])
def test_a_network_learns_what_can_be_learned(network: str) -> None:
    settings = ProspectSettings(network=network, width=16, epochs=25, learning_rate=3e-3)
    fitted = fit_network(labelled(200, 1), labelled(100, 2), settings, CPU)
    judged = labelled(200, 3)
    called = network_probabilities(fitted.network, judged.values, CPU) >= 0.5
    assert balanced_accuracy(judged.is_positive, called) > 0.9
    assert fitted.history[-1].loss < 0.7 * fitted.history[0].loss
    assert fitted.options == {"hidden": 16}


@pytest.mark.parametrize("network", ["gcn_residual", "gcn", "cnn"])
def test_a_training_begins_at_even_odds(network: str) -> None:
    """A sum over a hundred nodes would begin with a loss of 6, and overconfident answers."""
    settings = ProspectSettings(network=network, width=16, epochs=1, learning_rate=1e-5)
    fitted = fit_network(labelled(100, 1, nodes=100), labelled(50, 2, nodes=100), settings, CPU)
    assert fitted.history[0].loss == pytest.approx(math.log(2), abs=0.25)


def test_noise_is_not_learned() -> None:
    settings = ProspectSettings(width=16, epochs=10)
    fitted = fit_network(labelled(150, 1, shift=0.0), labelled(100, 2, shift=0.0), settings, CPU)
    judged = labelled(300, 3, shift=0.0)
    called = network_probabilities(fitted.network, judged.values, CPU) >= 0.5
    assert 0.35 < balanced_accuracy(judged.is_positive, called) < 0.65


def test_the_epoch_of_least_validation_loss_is_kept() -> None:
    """With a rate far too high the best epoch is none of the last."""
    training, validation = labelled(60, 1, shift=0.4), labelled(60, 2, shift=0.4)
    settings = ProspectSettings(width=32, epochs=12, learning_rate=3e-2)
    fitted = fit_network(training, validation, settings, CPU)
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert fitted.best.epoch == 1 + int(np.argmin(losses))
    assert fitted.best.epoch < 12
    logits = torch.from_numpy(validation.values)
    with torch.no_grad():
        weights = torch.tensor(class_weights(training.is_positive))
        loss = torch.nn.functional.cross_entropy(
            fitted.network(logits), torch.from_numpy(validation.is_positive.astype(np.int64)), weights
        )
    assert float(loss) == pytest.approx(min(losses), rel=1e-5)
    assert not fitted.network.training


def test_averaged_weights_jump_about_less_and_change_no_step() -> None:
    training, validation = labelled(120, 1, shift=0.4), labelled(120, 2, shift=0.4)
    settings = ProspectSettings(width=32, epochs=12, learning_rate=1e-2, batch_size=16)
    last, averaged = (
        fit_network(training, validation, replace(settings, weight_averaging=share), CPU)
        for share in (0.0, 0.99)
    )
    assert [epoch.loss for epoch in last.history] == [epoch.loss for epoch in averaged.history]
    jumps = [
        np.abs(np.diff([epoch.validation_loss for epoch in fitted.history])).mean()
        for fitted in (last, averaged)
    ]
    assert jumps[1] < 0.8 * jumps[0]


def test_the_first_steps_keep_less_of_what_was() -> None:
    values = torch.tensor([8.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    average = values[0]
    for step, value in enumerate(values[1:], 1):
        average = train._averaged(0.99, average, value, torch.tensor(step))
    kept = math.prod((1 + step) / (10 + step) for step in range(1, 8))
    assert float(average) == pytest.approx(1 + 7 * kept)
    late = train._averaged(0.99, torch.tensor(2.0), torch.tensor(1.0), torch.tensor(10_000))
    assert float(late) == pytest.approx(1.99)
    assert int(train._averaged(0.99, torch.tensor(3), torch.tensor(7), torch.tensor(5))) == 7


def test_patience_and_time_end_a_training_early() -> None:
    training, validation = labelled(60, 1, shift=0.0), labelled(60, 2, shift=0.0)
    settings = ProspectSettings(width=32, epochs=60, learning_rate=3e-2, patience=3)
    fitted = fit_network(training, validation, settings, CPU)
    assert len(fitted.history) == fitted.best.epoch + 3 < 60
    hurried = fit_network(training, validation, replace(settings, time_limit_s=1e-6), CPU)
    assert len(hurried.history) == 1


@pytest.mark.parametrize(
    ("part", "kept", "message"),
    [
        (0, slice(0, 0), "the training part has no patches"),
        (0, slice(0, 1), "the training part has 1 patches, all with ore"),
        (1, slice(1, 2), "the validation part has 1 patches, all without ore"),
    ],
)
def test_one_class_alone_is_refused(part: int, kept: slice, message: str) -> None:
    parts = [labelled(20, 1), labelled(20, 2)]
    parts[part] = LabelledPatches(parts[part].values[kept], parts[part].is_positive[kept])
    with pytest.raises(UsageError, match=message):
        fit_network(parts[0], parts[1], QUICK, CPU)


def test_a_loss_that_is_no_number_is_told() -> None:
    training = labelled(40, 1)
    training.values[3, 2, 1] = np.inf
    with pytest.raises(DivergedError, match=r"no longer finite in epoch 1 .*learning rate below 0\.001"):
        fit_network(training, labelled(20, 2), QUICK, CPU)


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown option 'depth'"):
        fit_network(labelled(20, 1), labelled(20, 2), replace(QUICK, options={"depth": 3}), CPU)


def test_the_eight_symmetries() -> None:
    """A patch of 2 x 2 cells: 0 1 above 2 3."""
    patch = torch.arange(4.0).reshape(1, 4, 1).repeat(8, 1, 1)
    found = turned(patch, np.arange(8))[:, :, 0].int().tolist()
    assert found[0] == [0, 1, 2, 3]
    assert found[2] == [3, 2, 1, 0]
    assert found[4] == [1, 0, 3, 2]
    assert len({tuple(each) for each in found}) == 8


def test_patches_are_turned_for_the_cnn_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(values: torch.Tensor, symmetries: np.ndarray) -> torch.Tensor:
        seen.append(len(symmetries))
        return turned(values, symmetries)

    monkeypatch.setattr(train, "turned", spy)
    fit_network(labelled(40, 1), labelled(20, 2), replace(QUICK, epochs=1), CPU)
    assert seen == []
    fit_network(labelled(40, 1), labelled(20, 2), replace(QUICK, epochs=1, network="cnn"), CPU)
    assert sum(seen) == 40


def test_no_step_has_a_single_patch() -> None:
    """65 patches in steps of 64 would leave one alone."""
    sizes = [len(places) for places, _turns in train._batches(65, replace(QUICK, batch_size=64), 1)]
    assert sorted(sizes) == [32, 33]
    every = np.concatenate([places for places, _turns in train._batches(65, QUICK, 2)])
    assert sorted(every.tolist()) == list(range(65))


def test_probabilities_do_not_depend_on_how_many_are_judged_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    network = build_prospect_network("gcn", in_channels=3, patch_px=4, hidden=8)
    values = labelled(30, 1).values
    whole = network_probabilities(network, values, CPU)
    monkeypatch.setattr(train, "_JUDGED_AT_ONCE", 7)
    np.testing.assert_allclose(network_probabilities(network, values, CPU), whole, atol=1e-6)


@hypothesis_settings(max_examples=50)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=30).filter(
        lambda rows: len({row[0] for row in rows}) == 2
    )
)
def test_no_other_threshold_is_better(rows: list[tuple[bool, int]]) -> None:
    is_positive = np.array([row[0] for row in rows])
    for dtype in (np.float32, np.float64):
        probabilities = np.array([row[1] / 8 for row in rows], dtype)
        threshold = choose_threshold(probabilities, is_positive)
        assert 0 <= threshold <= 1
        found = balanced_accuracy(is_positive, probabilities.astype(np.float64) >= threshold)
        for other in np.arange(1, 89) / 88:
            if not probabilities.min() < other <= probabilities.max():
                continue
            assert found >= balanced_accuracy(is_positive, probabilities >= other) - 1e-9


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken() -> None:
    truth = np.array([False, False, True, True])
    assert choose_threshold(np.array([0.1, 0.2, 0.8, 0.9]), truth) == 0.5
    assert choose_threshold(np.array([0.1, 0.2, 0.3, 0.9]), truth) == pytest.approx(0.25)
    assert choose_threshold(np.array([0.1, 0.6, 0.7, 0.9]), truth) == pytest.approx(0.65)
    assert choose_threshold(np.full(4, 0.7), truth) == 0.5


def test_a_threshold_between_neighbouring_numbers_excludes_the_lower() -> None:
    low = np.float32(0.7)
    high = np.nextafter(low, np.float32(1))
    threshold = choose_threshold(np.array([low, high], np.float32), np.array([False, True]))
    assert np.float64(low) < threshold <= np.float64(high)


def test_the_grid_takes_the_best_of_validation_and_trains_each_pair_once() -> None:
    heard = []
    grid = GridSettings(widths=(4, 16), learning_rates=(1e-6, 3e-3), epochs=8)
    settings, trials = search_grid(
        labelled(120, 1), labelled(80, 2), ProspectSettings(epochs=40), grid, CPU, heard.append
    )
    assert trials == heard
    assert [(each.width, each.learning_rate, each.epochs) for each in trials] == [
        (4, 1e-6, 8),
        (4, 3e-3, 8),
        (16, 1e-6, 8),
        (16, 3e-3, 8),
    ]
    best = min(trials, key=lambda each: each.validation_loss)
    assert (settings.width, settings.learning_rate) == (best.width, best.learning_rate)
    # a rate of a millionth learns nothing in eight epochs
    assert settings.learning_rate == 3e-3
    assert settings.epochs == 40


def test_epochs_of_trials() -> None:
    assert GridSettings().trial_epochs(200) == 50
    assert GridSettings().trial_epochs(20) == 10
    assert GridSettings().trial_epochs(3) == 3
    assert GridSettings(epochs=7).trial_epochs(200) == 7


def test_a_trial_that_diverges_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.prospect import search

    def sometimes(*arguments: object) -> train.Fitted:
        settings = arguments[2]
        assert isinstance(settings, ProspectSettings)
        if settings.learning_rate > 1e-3:
            raise DivergedError("lost")
        return fit_network(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "fit_network", sometimes)
    grid = GridSettings(widths=(4,), learning_rates=(1e-3, 1.0), epochs=1)
    settings, trials = search_grid(labelled(30, 1), labelled(20, 2), QUICK, grid, CPU)
    assert settings.learning_rate == 1e-3
    assert trials[1].as_json()["validation_loss"] is None
    with pytest.raises(DivergedError, match="none of 1 trials"):
        search_grid(labelled(30, 1), labelled(20, 2), QUICK, replace(grid, learning_rates=(1.0,)), CPU)


@pytest.mark.parametrize(
    "wrong",
    [{"widths": ()}, {"learning_rates": ()}, {"widths": (0,)}, {"learning_rates": (0.0,)}, {"epochs": 0}],
)
def test_a_grid_of_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="grid"):
        GridSettings(**wrong)  # type: ignore[arg-type]
