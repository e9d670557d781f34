"""From residuals to anomalies, and from anomaly and favourability to the score: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from db.errors import UsageError
from inference.evidence.anomaly import anomaly_of, base_element, excess_of, ore_weights, robust_scale
from inference.evidence.combine import prospectivity, ranks
from inference.evidence.types import EvidenceChannel
from tests.evidence_area import drawn_system

NAN = float("nan")


def channel(name: str, element: str | None, kind: str = "geochemistry") -> EvidenceChannel:
    return EvidenceChannel(name, kind, element, "ppm", "clr", 0.0, 1.0, True)


@pytest.mark.parametrize(
    ("symbol", "element"),
    [
        *(("Cr2O3", "Cr"), ("TFe2O3", "Fe"), ("FeO", "Fe"), ("K2O", "K"), ("P2O5", "P"), ("CO2", "C")),
        *(("Co", "Co"), ("Mo", "Mo"), ("O", "O"), ("Li", "Li"), ("SO3", "S"), ("Ho", "Ho"), ("Os", "Os")),
    ],
)
def test_an_oxide_is_a_content_of_its_element(symbol: str, element: str) -> None:
    assert base_element(symbol) == element


def test_weights_go_to_the_channels_that_hold_the_elements() -> None:
    channels = [
        *(channel("a", "Ni"), channel("b", "Cu"), channel("c", "Cr2O3"), channel("d", None)),
        *(channel("e", "Cr"), channel("f", None, "geophysics")),
    ]
    weights = ore_weights(channels, drawn_system(Cr=2.0, Ni=0.5, Pt=3.0))
    assert weights == {0: 0.5, 2: 1.0, 4: 1.0}
    assert ore_weights(channels[1:3], drawn_system(Cr=2.0, Cr2O3=1.0)) == {1: 3.0}


def test_a_system_without_any_of_its_elements_is_refused() -> None:
    with pytest.raises(UsageError, match=r"ore elements of drawn \(Sn, W\).*which hold Cr, Cu"):
        ore_weights([channel("b", "Cu"), channel("c", "Cr"), channel("d", None)], drawn_system(Sn=1, W=1))
    with pytest.raises(UsageError, match="which hold no element"):
        ore_weights([channel("d", None)], drawn_system())


def test_excess_is_in_robust_deviations_of_judged_ground() -> None:
    # medians 0 and absolute deviations 0, 1, 1, 2, 2 of the five judged cells
    residuals = np.array([[[-2, -1, 0, 1, 2, 500, NAN]], [[1, 1, 1, 1, 6, -9, NAN]]], np.float32)
    is_judged = np.array([[True] * 5 + [False, True]])
    excess = excess_of(residuals, is_judged)
    assert excess.dtype == np.float32
    np.testing.assert_allclose(excess[0, 0, :5], np.array([-2, -1, 0, 1, 2]) / 1.4826, rtol=1e-6)
    # more than half alike: the standard deviation of 1, 1, 1, 1, 6 is 2
    np.testing.assert_allclose(excess[1, 0, :5], [0.5, 0.5, 0.5, 0.5, 3], rtol=1e-6)
    assert np.isnan(excess[:, 0, 5:]).all()


def test_rounding_is_not_made_an_excess_of() -> None:
    residuals = np.array([[[1e-9, -1e-9, 2e-9, 0]]], np.float32)
    assert np.nanmax(np.abs(excess_of(residuals, np.ones((1, 4), bool)))) < 1e-5
    assert robust_scale(np.full(5, 3.0)) == 1.0
    nothing = np.full((1, 1, 4), np.nan, np.float32)
    assert np.isnan(excess_of(nothing, np.ones((1, 4), bool))).all()


def test_the_anomaly_is_the_weighted_mean_of_what_is_above() -> None:
    excess = np.array(
        [
            [[4, -4, NAN, NAN, 1]],
            [[99, 99, 99, 99, 99]],
            [[1, 2, 5, NAN, NAN]],
        ],
        np.float32,
    )
    anomaly = anomaly_of(excess, {0: 3.0, 2: 1.0})
    assert anomaly.dtype == np.float32
    # (3 * 4 + 1) / 4, (0 + 2) / 4, 5 / 1, nothing known, 3 / 3
    np.testing.assert_array_equal(anomaly, np.array([[3.25, 0.5, 5, NAN, 1]], np.float32))


def test_ranks_run_from_0_to_1_and_ties_share_theirs() -> None:
    values = np.array([[7, 1, 3, 3, 100]], np.float32)
    counted = np.array([[True, True, True, True, False]])
    np.testing.assert_allclose(ranks(values, counted), [[1, 0, 0.5, 0.5, NAN]])
    np.testing.assert_allclose(ranks(np.zeros((1, 3), np.float32), np.ones((1, 3), bool)), 0.5)
    assert ranks(values, np.array([[False, True, False, False, False]]))[0, 1] == 1
    assert np.isnan(ranks(values, np.zeros((1, 5), bool))).all()


def test_the_score_is_made_of_ranks_where_both_are_known() -> None:
    anomaly = np.array([[0, 10, 20, 30, 40, NAN, 5]], np.float32)
    favourability = np.array([[0.5, 0.1, 0.9, 0.2, 0.8, 0.3, NAN]], np.float32)
    is_judged = np.ones((1, 7), bool)
    # ranks of A: 0, 1, 2, 3, 4 quarters; of F: 2, 0, 4, 1, 3
    a, f = np.arange(5) / 4, np.array([2, 0, 4, 1, 3]) / 4
    for share in (0.0, 0.5, 0.7, 1.0):
        score = prospectivity(anomaly, favourability, share, is_judged)
        np.testing.assert_allclose(score[0, :5], a**share * f ** (1 - share), rtol=1e-6)
        assert np.isnan(score[0, 5:]).all()
    is_judged[0, 4] = False
    assert np.isnan(prospectivity(anomaly, favourability, 1.0, is_judged)[0, 4])
    assert prospectivity(anomaly, favourability, 1.0, is_judged)[0, 3] == 1


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN])
def test_a_share_beyond_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="the share of the anomaly is"):
        prospectivity(
            np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32), share, np.ones((1, 1), bool)
        )


def test_the_score_depends_on_order_alone() -> None:
    rng = np.random.default_rng(3)
    anomaly, favourability = rng.random((2, 9, 11)).astype(np.float32)
    is_judged = rng.random((9, 11)) < 0.8
    score = prospectivity(anomaly, favourability, 0.6, is_judged)
    again = prospectivity(np.exp(5 * anomaly), favourability**3, 0.6, is_judged)
    np.testing.assert_array_equal(score, again)
