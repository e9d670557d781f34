"""Contents of elements as their logarithms: what is changed, what is counted, and back."""

from __future__ import annotations

import numpy as np

from inference.prospect.channels import Channel
from inference.prospect.contents import Logarithms, from_log10, log_notes, to_log10, with_least


def test_contents_become_logarithms_and_back() -> None:
    contents = np.array([[1, 10, 0.01], [np.nan, 1000, 2.5]], np.float32)
    logs = contents.copy()
    assert to_log10(logs, np.ones((2, 3), bool)) == Logarithms(0, 5, np.float32(0.01))
    np.testing.assert_allclose(logs, [[0, 1, -2], [np.nan, 3, 0.39794]], atol=1e-6)
    np.testing.assert_allclose(from_log10(logs), contents, rtol=1e-6)


def test_contents_of_0_or_less_are_the_smallest_positive_one_of_judged_ground() -> None:
    logs = np.array([[0, -5, 1e-7], [100, np.nan, 0], [0.5, 2, 0.5]], np.float32)
    is_judged = np.array([[True, True, False], [True, True, False], [True, True, True]])
    assert to_log10(logs, is_judged) == Logarithms(raised=2, judged=6, least=0.5)
    least = np.float32(np.log10(0.5))
    np.testing.assert_allclose(logs[:2], [[least] * 3, [2, np.nan, least]], rtol=1e-6)


def test_on_other_ground_the_least_content_of_training_counts() -> None:
    is_judged = np.ones((1, 5), bool)
    home = np.array([[0, 0.5, 1, 10, 30]], np.float32)
    to_log10(home, is_judged)
    channel = Channel("Li", "evidence", is_log=True)
    (learned,) = with_least([channel], home[None], is_judged)
    assert learned.least == 0.5
    away = np.array([[0, 1e-7, 1, 10, 30]], np.float32)
    found = to_log10(away, is_judged, learned.least)
    assert found == Logarithms(raised=2, judged=5, least=0.5)
    np.testing.assert_allclose(away[0, [0, 2, 3, 4]], home[0, [0, 2, 3, 4]], rtol=1e-6)
    assert away[0, 1] == away[0, 0]
    assert log_notes("Li", "ppm", found, is_given=True) == [
        "layer Li: 2 of 5 contents are below 0.5 ppm, the least of training; for their logarithm that is "
        "taken"
    ]
    # what is not judged does not count, nor what is no logarithm
    home[0, 1] = home[0, 0] = -7
    is_judged[0, :2] = False
    raw = Channel("gravity", "evidence")
    found_channels = with_least([channel, raw], np.stack([home, home]), is_judged)
    assert [each.least for each in found_channels] == [1, None]


def test_the_ground_of_training_has_no_content_below_its_least() -> None:
    contents = np.random.default_rng(2).lognormal(0, 2, (20, 20)).astype(np.float32)
    is_judged = np.ones((20, 20), bool)
    logs = contents.copy()
    to_log10(logs, is_judged)
    (channel,) = with_least([Channel("Li", "evidence", is_log=True)], logs[None], is_judged)
    again = contents.copy()
    assert to_log10(again, is_judged, channel.least).raised == 0
    np.testing.assert_array_equal(again, logs)


def test_a_layer_without_a_positive_content_has_no_logarithm() -> None:
    logs = np.array([[0, -1, np.nan]], np.float32)
    assert to_log10(logs, np.ones((1, 3), bool)) == Logarithms(2, 2, None)
    assert np.isnan(logs).all()
