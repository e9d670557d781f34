"""Masks of the data centres: every class and bit, and which wins where several are set."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.preprocess.product_masks import CLEAR, CLOUD, NODATA, SHADOW, SNOW, decode_mask
from ingest.products.product import MaskKind


def test_the_codes_are_five_small_numbers() -> None:
    codes = {CLEAR, CLOUD, SHADOW, SNOW, NODATA}
    assert len(codes) == 5
    assert max(codes) < 256


def test_classes_of_sentinel2_scene_classification() -> None:
    # Rows and columns differ, so that a turned mask shows.
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    expected = [
        [NODATA, CLEAR, CLEAR, SHADOW],
        [CLEAR, CLEAR, CLEAR, CLEAR],
        [CLOUD, CLOUD, CLOUD, SNOW],
    ]
    codes = decode_mask("sentinel2_scl", values)
    assert codes.dtype == np.uint8
    assert codes.tolist() == expected


def test_bands_of_sentinel2_classification() -> None:
    opaque, cirrus, snow = (
        np.array([[0, 1, 0, 0, 1, 0]]),
        np.array([[0, 0, 1, 0, 0, 1]]),
        np.zeros((1, 6), int),
    )
    snow[0, 3:] = 1
    codes = decode_mask("sentinel2_classification", np.stack([opaque, cirrus, snow]).astype(np.uint8))
    assert codes.tolist() == [[CLEAR, CLOUD, CLOUD, SNOW, CLOUD, CLOUD]]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1, NODATA),
        (1 << 1, CLOUD),
        (1 << 2, CLOUD),
        (1 << 3, CLOUD),
        (1 << 4, SHADOW),
        (1 << 5, SNOW),
        (1 << 6, CLEAR),
        (1 << 7, CLEAR),
        # Usual values of Landsat 8/9: clear land and water, cloud with high confidence, shadow, snow, cirrus.
        (21824, CLEAR),
        (21952, CLEAR),
        (22280, CLOUD),
        (23888, SHADOW),
        (30048, SNOW),
        (54596, CLOUD),
        ((1 << 3) | (1 << 5), CLOUD),
        (1 | (1 << 3), NODATA),
    ],
)
def test_bits_of_landsat_qa_pixel(value: int, code: int) -> None:
    values = np.full((2, 3), 21824, np.uint16)
    values[1, 2] = value
    codes = decode_mask("landsat_qa_pixel", values)
    assert codes[1, 2] == code
    assert np.count_nonzero(codes != CLEAR) == (code != CLEAR)


def test_a_plain_cloud_mask() -> None:
    codes = decode_mask("cloud_mask", np.array([[0, 1, 2, 254, 255]], np.uint8))
    assert codes.tolist() == [[CLEAR, CLOUD, CLOUD, CLOUD, CLOUD]]


def test_the_given_mask_is_left_alone_and_one_pixel_will_do() -> None:
    values = np.array([[9]], np.uint8)
    assert decode_mask("sentinel2_scl", values).tolist() == [[CLOUD]]
    assert values.tolist() == [[9]]
    assert decode_mask("cloud_mask", np.zeros((0, 4), np.uint8)).shape == (0, 4)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("sentinel2_scl", (1, 4, 4)),
        ("landsat_qa_pixel", (4,)),
        ("sentinel2_classification", (4, 4)),
        ("sentinel2_classification", (2, 4, 4)),
    ],
)
def test_wrong_shapes_are_refused(kind: MaskKind, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not have the shape"):
        decode_mask(kind, np.zeros(shape, np.uint8))


def test_fractions_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        decode_mask("sentinel2_scl", np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="not known"):
        decode_mask("other", np.zeros((2, 2), np.uint8))  # type: ignore[arg-type]
