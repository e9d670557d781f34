"""What a scene's numbers are said to mean: bands, offsets, scales, and what cannot be true."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from db.errors import UsageError
from db.sensors import Sensor, SensorBand
from ingest.bands import name_bands
from ingest.declaration import Statement, ValueMeaning, check_product_name, value_meaning
from ingest.figures import BandFigures
from ingest.plausibility import check_reflectance

S2_NAMES = ("B01", "B02", "B03", "B04", "B08", "B8A", "B11", "B12")
S2_COMMON = ("coastal", "blue", "green", "red", "nir", "nir08", "swir16", "swir22")
SENTINEL2 = Sensor(
    1,
    "sentinel2_msi",
    "Sentinel-2",
    10.0,
    tuple(SensorBand(*names, 500.0, 50.0) for names in zip(S2_NAMES, S2_COMMON, strict=True)),
)
GAOFEN = Sensor(
    2,
    "gf2_pms",
    "Gaofen-2",
    3.2,
    tuple(SensorBand(name, name, 500.0, 50.0) for name in ("blue", "green", "red", "nir")),
)


def named(
    sensor: Sensor,
    descriptions: list[str | None],
    stated: list[str] | None = None,
    alpha: tuple[int, ...] = (),
) -> tuple[str, ...]:
    return name_bands(
        sensor, len(descriptions), descriptions, stated=stated, file_name="x.tif", alpha_bands=alpha
    ).names


def test_bands_are_named_by_the_user_the_file_or_the_instrument() -> None:
    assert named(SENTINEL2, ["B02", "B04"], stated=["B03", "B08"]) == ("B03", "B08")
    assert named(SENTINEL2, ["B04", "B03", "B02"]) == ("B04", "B03", "B02")
    assert named(SENTINEL2, ["B2", "b4", "B8a"]) == ("B02", "B04", "B8A")
    assert named(SENTINEL2, ["red", "NIR"]) == ("B04", "B08")
    assert named(GAOFEN, [None, None, None, None]) == ("blue", "green", "red", "nir")
    assert named(GAOFEN, ["Layer 1", "Layer 2", "Layer 3", "Layer 4"]) == ("blue", "green", "red", "nir")
    # 8 and 8A, 1 and 11 are not mixed up.
    assert named(SENTINEL2, ["B8", "B8A", "B11", "B1"]) == ("B08", "B8A", "B11", "B01")


@pytest.mark.parametrize(
    ("descriptions", "stated", "reason"),
    [
        ([None, None, None], None, "nothing says which"),
        (["red", "green", "mystery", "x"], None, "nothing says which"),
        (["red", "red", "nir"], None, "more than once"),
        ([None] * 4, ["red", "green"], "names 2 bands"),
        ([None] * 4, ["red", "green", "blue", "thermal"], "thermal: no band of"),
        ([None] * 2, ["red", "RED"], "more than once"),
        ([None] * 5, None, "state them in order with --bands. Bands of gf2_pms: blue, green, red, nir"),
    ],
)
def test_bands_that_nothing_names_are_refused(
    descriptions: list[str | None], stated: list[str] | None, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        named(GAOFEN, descriptions, stated)


def test_transparency_is_no_band_unless_it_is_named() -> None:
    with pytest.raises(UsageError, match="alpha"):
        named(GAOFEN, [None] * 4, alpha=(4,))
    assert named(GAOFEN, [None] * 4, ["blue", "green", "red", "nir"], alpha=(4,))[3] == "nir"


def stated(day: date = date(2021, 6, 19), **fields: object) -> Statement:
    return Statement(sensor="s", acquired_on=day, product="p", **fields)  # type: ignore[arg-type]


def test_defaults_of_the_meaning() -> None:
    assert value_meaning(stated(), GAOFEN, is_float=False) == ValueMeaning("digital_number", 0.0, 1.0)
    assert value_meaning(stated(), SENTINEL2, is_float=False) == ValueMeaning(
        "surface_reflectance", 0.0, 1e-4
    )
    assert value_meaning(stated(), SENTINEL2, is_float=True).value_scale == 1.0
    raw = value_meaning(stated(processing_level="digital_number"), SENTINEL2, is_float=False)
    assert raw.value_scale == 1.0


def test_the_sentinel2_offset_must_be_stated_since_baseline_4() -> None:
    last, first = date(2022, 1, 24), date(2022, 1, 25)
    assert value_meaning(stated(last), SENTINEL2, is_float=False).value_offset == 0
    for is_float in (False, True):
        with pytest.raises(UsageError, match="--offset -1000 for values as delivered, --offset 0"):
            value_meaning(stated(first), SENTINEL2, is_float=is_float)
    for offset in (-1000.0, 0.0):
        meaning = value_meaning(stated(first, value_offset=offset), SENTINEL2, is_float=False)
        assert meaning.value_offset == offset
    with pytest.raises(UsageError, match="wrong sign"):
        value_meaning(stated(first, value_offset=1000.0), SENTINEL2, is_float=False)
    assert value_meaning(stated(first, value_offset=1000.0), GAOFEN, is_float=False).value_offset == 1000
    assert value_meaning(stated(first), GAOFEN, is_float=False).value_offset == 0


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none(scale: float) -> None:
    with pytest.raises(UsageError, match="--scale"):
        value_meaning(stated(value_scale=scale), GAOFEN, is_float=False)
    with pytest.raises(UsageError, match="--offset"):
        value_meaning(stated(value_offset=float("nan")), GAOFEN, is_float=False)


def test_days_to_come_and_unusable_names() -> None:
    with pytest.raises(UsageError, match="to come"):
        value_meaning(stated(datetime.now(UTC).date() + timedelta(days=3)), GAOFEN, is_float=False)
    for name in ("", "  ", "a\nb", "a\0b", "x" * 1001):
        with pytest.raises(UsageError, match="product name"):
            check_product_name(name)
    for name in ("Robert'); drop table lode.scene; --", "赣州稀土矿区" * 30, '"quoted"', "a/b %s {x}"):
        check_product_name(name)


def bands(*stored: np.ndarray) -> list[BandFigures]:
    return [
        BandFigures(f"B{index}", values.size, float(values.min()), float(values.max()), values.astype(float))
        for index, values in enumerate(stored)
    ]


def forest(offset: float, seed: int = 0) -> list[BandFigures]:
    """Red and near infrared over forest and soil, in stored integers."""
    generator = np.random.default_rng(seed)
    red = np.concatenate([generator.normal(180, 60, 8000), generator.normal(1600, 300, 2000)])
    nir = np.concatenate([generator.normal(3200, 400, 8000), generator.normal(2400, 300, 2000)])
    return bands(np.maximum(red, 1) + offset, nir + offset)


def judged(
    figures: list[BandFigures], offset: float, scale: float = 1e-4, *, sensor: str = "sentinel2_msi"
) -> tuple[str, ...]:
    meaning = ValueMeaning("surface_reflectance", offset, scale)
    return check_reflectance(figures, meaning, "x.tif", sensor=sensor, nodata=0)


def test_the_right_offset_raises_no_doubt() -> None:
    assert judged(forest(0), 0) == ()
    assert judged(forest(1000), -1000) == ()


def test_an_offset_taken_out_twice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"80% of the pixels of band B0 have a reflectance below -0\.05"):
        judged(forest(0), -1000)


def test_an_offset_left_in_is_doubted() -> None:
    (warning,) = judged(forest(1000), 0)
    assert "the offset of 1000 is still in the values" in warning
    assert judged(forest(1000), 0, sensor="gf2_pms") == ()


def test_deserts_are_not_refused() -> None:
    generator = np.random.default_rng(3)
    sand = bands(*(generator.normal(mean, 200, 5000) for mean in (2000, 3500, 4500)))
    assert len(judged(sand, 0)) == 1  # doubted, stored all the same


def test_scales_that_cannot_be_true_are_refused() -> None:
    with pytest.raises(UsageError, match="median reflectance is"):
        judged(forest(0), 0, 1.0)
    with pytest.raises(UsageError, match="no reflectance is above"):
        judged(bands(np.linspace(0.01, 0.6, 1000)), 0, 1e-4)
    numbers = ValueMeaning("digital_number", 0, 1)
    assert check_reflectance(forest(0), numbers, "x", sensor="gf2_pms", nodata=None) == ()


def test_zeros_of_sentinel2_without_nodata_are_mentioned() -> None:
    figures = forest(0)
    with_zeros = [*figures[:1], *bands(np.append(figures[1].sample, 0.0))]
    meaning = ValueMeaning("surface_reflectance", 0, 1e-4)
    (warning,) = check_reflectance(with_zeros, meaning, "x", sensor="sentinel2_msi", nodata=None)
    assert "--nodata 0" in warning
