"""Contents of elements as their logarithms: what is changed, what is counted, and back."""

from __future__ import annotations

import numpy as np

from inference.prospect.contents import Logarithms, from_log10, to_log10


def test_contents_become_logarithms_and_back() -> None:
    contents = np.array([[1, 10, 0.01], [np.nan, 1000, 2.5]], np.float32)
    logs = contents.copy()
    assert to_log10(logs, np.ones((2, 3), bool)) == Logarithms(0, 5, np.float32(0.01))
    np.testing.assert_allclose(logs, [[0, 1, -2], [np.nan, 3, 0.39794]], atol=1e-6)
    np.testing.assert_allclose(from_log10(logs), contents, rtol=1e-6)


def test_contents_of_0_or_less_are_the_smallest_positive_one_and_judged_ones_are_counted() -> None:
    logs = np.array([[0, -5, 0.5], [100, np.nan, 0]], np.float32)
    is_judged = np.array([[True, True, False], [True, True, False]])
    assert to_log10(logs, is_judged) == Logarithms(raised=2, judged=3, least=0.5)
    least = np.float32(np.log10(0.5))
    np.testing.assert_allclose(logs, [[least] * 3, [2, np.nan, least]], rtol=1e-6)


def test_a_layer_without_a_positive_content_has_no_logarithm() -> None:
    logs = np.array([[0, -1, np.nan]], np.float32)
    assert to_log10(logs, np.ones((1, 3), bool)) == Logarithms(2, 2, None)
    assert np.isnan(logs).all()
