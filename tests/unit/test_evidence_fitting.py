"""Training a network on a ground, and what it then expects of every cell."""

import dataclasses

import numpy as np
import pytest
import torch

from db.errors import UsageError
from inference.evidence import fitting
from inference.evidence.fitting import (
    fit_network,
    learning_rate_share,
    mean_over_sources,
    reconstruction_loss,
    restore,
)
from inference.evidence.masks import as_cells, complementary_masks
from inference.evidence.networks import MaskedViT
from inference.evidence.predicting import predict
from inference.evidence.types import NETWORKS
from inference.evidence.windows import padded_ground
from tests.unit.evidence_toys import settings_of, smooth_field, toy_ground

CPU = torch.device("cpu")


def mixed_ground(shape=(40, 44), is_known=None, is_judged=None):
    values = {
        ("geochemistry", "Cr"): smooth_field(shape, 3, 1),
        ("geochemistry", "Ni"): smooth_field(shape, 3, 2),
        ("geophysics", "gravity"): smooth_field(shape, 4, 3),
        ("geology", "faults"): smooth_field(shape, 4, 4),
        ("spectral", "clay"): smooth_field(shape, 4, 5),
    }
    return toy_ground(values, is_known, is_judged)


@pytest.fixture(scope="module")
def fitted():
    return fit_network(mixed_ground(), settings_of(), 1, CPU)


@pytest.mark.parametrize("method", NETWORKS)
def test_same_seed_gives_the_same_weights_and_answers(method):
    ground, settings = mixed_ground(), settings_of(method, windows=24)
    torch.manual_seed(1)
    first = fit_network(ground, settings, 7, CPU)
    torch.manual_seed(2)
    again, other = (fit_network(ground, settings, seed, CPU) for seed in (7, 8))
    state = first.state()
    assert all((state[name] == array).all() for name, array in again.state().items())
    assert any((state[name] != array).any() for name, array in other.state().items())
    assert np.array_equal(predict(first, ground), predict(again, ground))


def test_training_leaves_the_global_generators_alone():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  # the global one is the point
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit_network(mixed_ground(), settings_of(windows=8), 7, CPU)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("method", NETWORKS)
def test_a_stored_network_answers_as_before(method):
    ground, settings = mixed_ground(), settings_of(method, windows=16)
    fitted = fit_network(ground, settings, 3, CPU)
    stored = {name: array.copy() for name, array in fitted.state().items()}
    found = restore(settings, ground.channels, stored, seed=3, history=fitted.history)
    assert np.array_equal(predict(found, ground), predict(fitted, ground))
    assert (found.seed, found.best_validation_loss) == (3, fitted.best_validation_loss)


def test_weights_of_another_network_are_refused(fitted):
    ground = mixed_ground()
    with pytest.raises(UsageError, match=r"not those of a vit for 5 channels: .* is \(.*\) and must be \("):
        restore(settings_of(width=32), ground.channels, fitted.state())
    with pytest.raises(UsageError, match="missing"):
        restore(settings_of(), ground.channels, {})


def test_the_batch_size_makes_no_difference(fitted):
    ground = mixed_ground()
    one, many = (predict(fitted, ground, batch_size=size) for size in (1, 64))
    np.testing.assert_allclose(one, many, atol=1e-5)


@pytest.mark.parametrize("method", ["vit", "conv_autoencoder", "dense_autoencoder"])
def test_a_ground_that_is_no_multiple_of_the_window_makes_no_difference(method):
    shape, wider = (40, 44), (47, 59)
    ground = mixed_ground(shape)
    is_judged = np.zeros(wider, dtype=bool)
    is_judged[:40, :44] = True
    values = np.zeros((5, *wider), dtype=np.float32)
    values[:, :40, :44] = ground.values
    named = {(one.kind, one.name): layer for one, layer in zip(ground.channels, values, strict=True)}
    fitted = fit_network(ground, settings_of(method, windows=16), 1, CPU)
    expected = predict(fitted, toy_ground(named, is_judged=is_judged))
    np.testing.assert_allclose(expected[:, :40, :44], predict(fitted, ground), atol=1e-5)
    assert np.isnan(expected[:, ~is_judged]).all()


@pytest.mark.parametrize("method", NETWORKS)
@pytest.mark.parametrize("shape", [(16, 16), (17, 41)])
def test_every_judged_cell_is_answered(method, shape):
    is_judged = np.ones(shape, dtype=bool)
    is_judged[3:9, 4:12] = False
    is_judged[5, 5] = True  # an island
    ground = mixed_ground(shape, is_judged=is_judged)
    network = fit_network(ground, settings_of(method, windows=8), 1, CPU)
    expected = predict(network, ground)
    assert expected.shape == (3, *shape)
    assert expected.dtype == np.float32
    assert np.isfinite(expected[:, is_judged]).all()
    assert np.isnan(expected[:, ~is_judged]).all()


def test_answers_are_means_over_the_passes_in_which_a_cell_was_hidden(fitted):
    """Done again the slow way: window by window, pass by pass, only what was hidden."""
    ground = mixed_ground()
    padded = padded_ground(ground, fitted.network.layout, 16, CPU)
    sums, counts = np.zeros((3, *padded.is_judged.shape)), np.zeros(padded.is_judged.shape)
    for row in range(-8, 40, 8):
        for col in range(-8, 44, 8):
            for mask in torch.from_numpy(complementary_masks(row, col, 4, 4)):
                cut = (padded.cut(layers, [row], [col]) for layers in (padded.values, padded.known))
                with torch.inference_mode():
                    answered = fitted.network(*cut, mask[None])[0].numpy()
                hidden = as_cells(mask[None], 4)[0].numpy()
                window = slice(row + 8, row + 24), slice(col + 8, col + 24)
                sums[:, *window] += answered * hidden
                counts[window] += hidden
    inner = counts[8:48, 8:52]
    # four windows lie over each cell, and three of four passes hide it
    assert (inner == 12).all()
    np.testing.assert_allclose(predict(fitted, ground), sums[:, 8:48, 8:52] / inner, atol=1e-5)


def test_answers_come_in_the_order_of_the_ground(fitted):
    ground = mixed_ground()
    order = [4, 3, 2, 0, 1]  # spectral, geology, geophysics, geochemistry
    shuffled = dataclasses.replace(
        ground,
        channels=tuple(ground.channels[place] for place in order),
        values=ground.values[order],
        raw=ground.raw[order],
        is_known=ground.is_known[order],
    )
    found = restore(fitted.settings, shuffled.channels, fitted.state())
    np.testing.assert_allclose(predict(found, shuffled), predict(fitted, ground)[[2, 0, 1]], atol=1e-6)


def test_the_progress_is_told_to_the_end(fitted):
    heard = []
    predict(fitted, mixed_ground(), heard.append, batch_size=10)
    assert heard == sorted(heard)
    assert 0 < heard[0] < heard[-1] == 1


@pytest.mark.parametrize("method", NETWORKS)
def test_constant_evidence_is_expected_constant(method):
    shape = (32, 32)
    values = {
        ("geochemistry", "Cr"): np.full(shape, 1.5),
        ("geophysics", "gravity"): np.full(shape, -0.5),
        ("geology", "faults"): np.zeros(shape),
    }
    ground = toy_ground(values)
    fitted = fit_network(ground, settings_of(method, windows=400, learning_rate=1e-2), 1, CPU)
    expected = predict(fitted, ground)
    np.testing.assert_allclose(expected[0], 1.5, atol=0.25)
    np.testing.assert_allclose(expected[1], -0.5, atol=0.25)


@pytest.mark.parametrize("method", NETWORKS)
def test_unknown_cells_count_nowhere(method):
    is_known = np.random.default_rng(1).random((5, 40, 44)) < 0.7
    ground = mixed_ground(is_known=is_known)
    planted = np.where(is_known, ground.values, np.float32(1e6))
    other = dataclasses.replace(ground, values=planted)
    first, again = (fit_network(each, settings_of(method, windows=16), 1, CPU) for each in (ground, other))
    figures = [
        [(entry["loss"], entry["validation_loss"]) for entry in each.history] for each in (first, again)
    ]
    assert figures[0] == figures[1]
    assert np.array_equal(predict(first, ground), predict(again, other))


def test_values_that_are_not_asked_for_do_not_count():
    expected, observed = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    is_asked = torch.zeros(2, 3, 4, 4, dtype=torch.bool)
    is_asked[0, 0, 0, 0] = is_asked[1, 2, 1, 1] = is_asked[1, 2, 1, 2] = True
    observed[1, 2, 1, 1] = 3
    observed[~is_asked] = float("inf")
    sums, counts = reconstruction_loss(expected, observed, is_asked, [2, 1])
    assert sums.tolist() == [0.5, 0.5 + 2.5]
    assert counts.tolist() == [1, 2]
    assert mean_over_sources(sums, counts) == (0.5 + 1.5) / 2


def test_a_source_that_is_not_asked_for_leaves_the_mean_alone():
    assert mean_over_sources(torch.tensor([4.0, 0.0]), torch.tensor([2.0, 0.0])) == 2
    assert mean_over_sources(torch.zeros(2), torch.zeros(2)) == 0


@pytest.mark.parametrize("method", ["vit", "conv_autoencoder"])
def test_ground_held_out_is_never_asked_for_in_training(method, monkeypatch):
    ground = mixed_ground((48, 48))
    settings = settings_of(method, windows=8, block_px=12)
    held = fitting.validation_ground(ground.is_scored, 12, settings.validation_share, 5)
    seen = []

    def watched(expected, observed, is_asked, sizes):
        if expected.requires_grad:
            seen.append(observed[is_asked])
        else:
            judged.append(observed[is_asked])
        return reconstruction_loss(expected, observed, is_asked, sizes)

    judged = []
    monkeypatch.setattr(fitting, "reconstruction_loss", watched)
    fit_network(ground, settings, 5, CPU)
    hidden = ground.values[:3]
    assert not np.isin(torch.cat(seen).numpy(), hidden[:, held]).any()
    assert np.isin(torch.cat(judged).numpy(), hidden[:, held]).all()


def test_a_masked_network_is_asked_for_hidden_cells_alone(monkeypatch):
    masks, asked = [], []

    def watched(network, values, known, is_hidden):
        masks.append(as_cells(is_hidden, 4))
        return forward(network, values, known, is_hidden)

    def heard(expected, observed, is_asked, sizes):
        asked.append(is_asked.any(1))
        return reconstruction_loss(expected, observed, is_asked, sizes)

    forward = MaskedViT.forward
    monkeypatch.setattr(MaskedViT, "forward", watched)
    monkeypatch.setattr(fitting, "reconstruction_loss", heard)
    fit_network(mixed_ground(), settings_of(windows=16), 1, CPU)
    assert len(masks) == len(asked) > 2
    for is_hidden, is_asked in zip(masks, asked, strict=True):
        assert is_asked.any()
        assert not (is_asked & ~is_hidden).any()


@pytest.mark.parametrize("method", NETWORKS)
def test_training_learns_what_surroundings_tell(method):
    """Gravity and chromium vary together and slowly, so that what is hidden shows round it."""
    shape = (96, 96)
    gravity = smooth_field(shape, 6, 1)
    values = {
        ("geochemistry", "Cr"): gravity,
        ("geophysics", "gravity"): gravity,
        ("geology", "faults"): smooth_field(shape, 4, 3),
    }
    fitted = fit_network(toy_ground(values), settings_of(method, windows=1200, evaluations=4), 1, CPU)
    losses = [entry["validation_loss"] for entry in fitted.history]
    assert fitted.best_validation_loss == min(losses) < losses[0]
    # with 0 for an answer the loss on the ground held out is 0.47
    assert fitted.best_validation_loss < 0.42


def test_geology_tells_a_level_that_neighbours_do_not():
    generator = np.random.default_rng(1)
    # rocks change from patch to patch at random, so no neighbour tells the level
    rock = np.kron(generator.integers(0, 2, (12, 12)), np.ones((4, 4)))
    values = {
        ("geochemistry", "Cr"): np.where(rock == 1, 1.0, -1.0),
        ("geology", "lithology: granite"): rock,
        ("geology", "lithology: gabbro"): 1 - rock,
    }
    ground = toy_ground(values)
    best = {
        method: fit_network(ground, settings_of(method, windows=1200), 1, CPU).best_validation_loss
        for method in ("vit", "vit_no_geology")
    }
    assert best["vit"] < 0.1
    assert best["vit_no_geology"] > 0.3


def test_lines_and_figures_of_each_evaluation_are_kept():
    lines = []
    fitted = fit_network(mixed_ground(), settings_of(windows=72, evaluations=3), 1, CPU, lines.append)
    assert [entry["step"] for entry in fitted.history] == [3, 6, 9]
    assert [set(entry) for entry in fitted.history] == [{"step", "loss", "validation_loss", "seconds"}] * 3
    assert [line.split(":")[0] for line in lines] == [f"step {step} of 9" for step in (3, 6, 9)]


def test_the_weights_of_the_best_evaluation_are_kept(monkeypatch):
    figures = iter([0.5, 0.2, 0.9])
    snapshots = []

    def figure(training):
        snapshots.append({name: tensor.clone() for name, tensor in training.network.state_dict().items()})
        return next(figures)

    monkeypatch.setattr(fitting._Training, "_validation_loss", figure)
    fitted = fit_network(mixed_ground(), settings_of(windows=24, evaluations=3), 1, CPU)
    assert fitted.best_validation_loss == 0.2
    assert all((array == snapshots[1][name].numpy()).all() for name, array in fitted.state().items())
    assert any((array != snapshots[2][name].numpy()).any() for name, array in fitted.state().items())


def test_a_training_out_of_time_ends_with_an_evaluation():
    fitted = fit_network(mixed_ground(), settings_of(windows=80_000, time_limit_s=1e-9), 1, CPU)
    assert [entry["step"] for entry in fitted.history] == [1]
    assert np.isfinite(fitted.best_validation_loss)


def test_a_training_that_diverges_says_so():
    with pytest.raises(UsageError, match=r"diverged.*learning rate below 1e\+30"):
        fit_network(mixed_ground(), settings_of(learning_rate=1e30, windows=160), 1, CPU)


def test_an_area_smaller_than_a_window_is_refused(fitted):
    small = mixed_ground((12, 40))
    with pytest.raises(UsageError, match=r"12 x 40 cells, the windows 16 x 16: .*--window 8"):
        fit_network(small, settings_of(), 1, CPU)
    with pytest.raises(UsageError, match="--window 8"):
        predict(fitted, small)


def test_ground_too_scattered_to_learn_from_is_refused():
    is_judged = np.zeros((40, 44), dtype=bool)
    is_judged[::10, ::10] = True
    with pytest.raises(UsageError, match="no window of 16 x 16 cells is judged ground to 25%"):
        fit_network(mixed_ground(is_judged=is_judged), settings_of(), 1, CPU)


@pytest.mark.parametrize("name", ["windows", "batch_size", "evaluations"])
def test_trainings_without_steps_are_refused(name):
    with pytest.raises(UsageError, match=f"{name} is 0"):
        fit_network(mixed_ground(), settings_of(**{name: 0}), 1, CPU)


def test_evidence_of_other_layers_is_refused(fitted):
    values = {
        (one.kind, one.name): layer
        for one, layer in zip(mixed_ground().channels, mixed_ground().values, strict=True)
    }
    del values["geochemistry", "Ni"]
    values["geology", "plutons"] = values["geology", "faults"]
    with pytest.raises(UsageError, match="toy is without Ni; with plutons: the network was trained on 5"):
        predict(fitted, toy_ground(values))


def test_the_learning_rate_rises_and_falls():
    shares = [learning_rate_share(step, 100) for step in range(1, 101)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert shares[4:] == sorted(shares[4:], reverse=True)
    assert 0 < shares[-1] < 0.01
