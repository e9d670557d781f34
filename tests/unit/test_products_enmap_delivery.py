"""A delivery of EnMAP's data centre: bands sorted by wavelength get their own numbers back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from db.errors import UsageError
from ingest.products.enmap import find, read
from ingest.products.gathering import gather

STEM = "ENMAP01-____L2A-DT0000001867_20220724T104526Z_008_V010302_20230628T165614Z"
VNIR, SWIR = np.linspace(418.2, 993.1, 91), np.linspace(902.3, 2445.5, 133)
SORTED = np.sort(np.concatenate([VNIR, SWIR]))
EMPTY = 140
"""Number in the image of a band without data."""


def metadata(**changed: str) -> str:
    said = {
        "vnir": ",".join(str(place) for place, nm in enumerate(SORTED, 1) if nm in VNIR),
        "swir": ",".join(str(place) for place, nm in enumerate(SORTED, 1) if nm in SWIR),
        "gain": "0.0001",
        "start": "2022-07-24T10:45:26.123456Z",
        "elevation": "56.5",
    } | changed
    bands = "".join(
        f'<bandID number="{place}"><wavelengthCenterOfBand>{nm:.6g}</wavelengthCenterOfBand>'
        f"<FWHMOfBand>8.5</FWHMOfBand><GainOfBand>{said['gain']}</GainOfBand><OffsetOfBand>0</OffsetOfBand>"
        "</bandID>"
        for place, nm in enumerate(SORTED, 1)
    )
    statistics = "".join(
        f"<bandID number='{place}'><mean>{-1000000 if place == EMPTY else 900}</mean>"
        f"<stdDeviation>{0 if place == EMPTY else 120.5}</stdDeviation></bandID>"
        for place in range(1, 225)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><level_X>'
        f"<base><temporalCoverage><startTime>{said['start']}</startTime></temporalCoverage></base>"
        f"<specific><sunElevationAngle><center>{said['elevation']}</center></sunElevationAngle>"
        "<sunAzimuthAngle><center>153.5</center></sunAzimuthAngle>"
        "<acrossOffNadirAngle><center>-5.25</center></acrossOffNadirAngle>"
        "<qualityFlag><cloudCover>12</cloudCover></qualityFlag>"
        f"<vnirProductQuality><expectedChannelsList>{said['vnir']}</expectedChannelsList></vnirProductQuality>"
        f"<swirProductQuality><expectedChannelsList>{said['swir']}</expectedChannelsList></swirProductQuality>"
        f"<bandCharacterisation>{bands}</bandCharacterisation></specific>"
        f"<product><bandStatistics>{statistics}</bandStatistics></product></level_X>"
    )


def deliver(folder: Path, *, stem: str = STEM, image: bool = True, bands: int = 224, **changed: str) -> Path:
    (folder / f"{stem}-METADATA.XML").write_text(metadata(**changed))
    files = {"SPECTRAL_IMAGE": (bands, "int16")} if image else {}
    files |= {"QL_QUALITY_CLOUD": (1, "uint8"), "QL_QUALITY_CLOUDSHADOW": (1, "uint8")}
    for name, (count, dtype) in files.items():
        place = Affine(30, 0, 360_000, 0, -30, 5_800_000)
        with rasterio.open(
            folder / f"{stem}-{name}.TIF", "w", "GTiff", 5, 3, count, "EPSG:32633", place, dtype
        ) as file:
            file.write(np.ones((count, 3, 5), dtype))
    return folder


def product_of(path: Path) -> Any:
    package = gather(str(path), (), path.parent)
    (found,) = find(package)
    return read(package, found)


def test_bands_get_the_numbers_of_their_spectrometers(tmp_path: Path) -> None:
    product = product_of(deliver(tmp_path))
    (part,) = product.parts
    assert [layer.band.name for layer in part.layers] == [f"B{place:03d}" for place in range(1, 225)]
    centers = [layer.band.center_nm for layer in part.layers]
    assert centers == pytest.approx([*VNIR, *SWIR], abs=0.01)
    # Each layer reads the band of the image that has its wavelength.
    assert [SORTED[layer.index - 1] for layer in part.layers] == pytest.approx(centers, abs=0.01)
    assert [layer.index for layer in part.layers if layer.band.fault] == [EMPTY]
    assert {(layer.offset, layer.scale) for layer in part.layers} == {(0.0, 1e-4)}
    assert (part.width_px, part.height_px, part.nodata) == (5, 3, -32768)


def test_what_the_metadata_say(tmp_path: Path) -> None:
    product = product_of(deliver(tmp_path))
    assert product.name == STEM
    assert product.acquired_at == datetime(2022, 7, 24, 10, 45, 26, 123456, tzinfo=UTC)
    assert (product.sun_elevation_deg, product.sun_azimuth_deg, product.cloud_fraction) == (56.5, 153.5, 0.12)
    assert product.metadata == {"across_off_nadir_deg": -5.25}
    assert [mask.file.name.rsplit("_", 1)[1] for mask in product.masks] == ["CLOUD.TIF", "CLOUDSHADOW.TIF"]
    assert len(product.files) == 4


def test_the_image_may_be_named(tmp_path: Path) -> None:
    product = product_of(deliver(tmp_path) / f"{STEM}-SPECTRAL_IMAGE.TIF")
    assert product.name == STEM


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": False}, "has no .*SPECTRAL_IMAGE.TIF"),
        ({"bands": 223}, "has 223 bands, .*XML describes 224"),
        ({"gain": "0.01"}, "gain 0.01 and offset 0 of band 1"),
        ({"vnir": "1,2,3"}, "lists 3 of the VNIR"),
        ({"swir": ""}, "expectedChannelsList of swir is ''"),
        ({"start": "never"}, "startTime is 'never'"),
        ({"elevation": "156"}, "sunElevationAngle is 156"),
        ({"stem": STEM.replace("L2A", "L1C")}, "is EnMAP L1C"),
    ],
)
def test_a_delivery_that_is_not_whole_or_wrong_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    deliver(tmp_path, **changed)
    with pytest.raises(UsageError, match=said):
        product_of(tmp_path)


def test_an_image_without_metadata_is_refused(tmp_path: Path) -> None:
    deliver(tmp_path)
    (tmp_path / f"{STEM}-METADATA.XML").unlink()
    with pytest.raises(UsageError, match=r"has no .*METADATA\.XML"):
        product_of(tmp_path)
