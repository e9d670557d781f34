"""Warnings of searches and of sets of patches in Chinese, and what a page of a search loads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from inference.prospect.shift import Shift
from reporting.reasons import chinese


def test_warnings_of_searches_are_known_in_chinese() -> None:
    shift = Shift(tuple("abcdefg"), np.full(7, -1.5), np.full(7, 0.3), 2.5, 10)
    assert len(shift.warnings) == 3
    for warning in shift.warnings:
        found = chinese(warning, {})
        assert found is not None
        assert "more" not in found
        assert "a -1.5" in found or "a 30%" in found or "2.5" in found


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        (
            "validation has 1 place of positive ground: its figures hang on very few deposits",
            "验证部分仅有1处含矿地段，其数值取决于极少数矿床",
        ),
        (
            "test has 5 negative patches for 4 positive ones, not 12: there are no more",
            "检验部分有4个含矿图块，不含矿图块仅5个（应为12个），已无更多",
        ),
        (
            "cells are 30 m wide and 28.5 m high; the graph takes neighbours as equally far",
            "单元宽30米、高28.5米，图网络视相邻单元等距",
        ),
        ("3 deposits lie where the ground is not judged", "3个矿床位于未评价的地段"),
    ],
)
def test_warnings_of_sets_are_known_in_chinese(english: str, expected: str) -> None:
    assert chinese(english, {}) == expected


def test_a_page_needs_neither_torch_nor_rasterio() -> None:
    check = (
        "import reporting.prospect_page, sys;"
        " print(sorted({'torch', 'rasterio', 'inference'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
