"""Small Sentinel-2 products in ESA's format: real JPEG 2000 images, metadata as the format has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine

Pixels = npt.NDArray[Any]

WEST, NORTH, EPSG = 600_000.0, 4_600_020.0, 32645
HEIGHT, WIDTH = 60, 120  # pixels of 10 m
SIZES = {
    "B01": 60, "B02": 10, "B03": 10, "B04": 10, "B05": 20, "B06": 20, "B07": 20, "B08": 10, "B8A": 20,
    "B09": 60, "B10": 60, "B11": 20, "B12": 20,
}  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(SIZES)}
TILE, GRANULE = "T45TUG_20230516T051651", "L{level}_T45TUG_A041234_20230516T052340"
OTHER_SIZES = {"B01": 20, "B02": 20, "B04": 60}
"""Bands that Level-2A has at other sizes too: decoys with other values."""


def stored(name: str) -> Pixels:
    """Stored values of a band at its native size (height, width): they say band, row and column."""
    step = SIZES[name] // 10
    row, col = np.mgrid[: HEIGHT // step, : WIDTH // step]
    return np.asarray(1500 + 300 * NUMBERS[name] + 2 * row + col, np.uint16)


def write_jp2(path: Path, pixels: Pixels, size_m: float, *, epsg: int = EPSG, **options: Any) -> Path:
    """A lossless JP2 of (bands, height, width) whose upper left corner is that of the tile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {
        "driver": "JP2OpenJPEG",
        "count": pixels.shape[0],
        "height": pixels.shape[1],
        "width": pixels.shape[2],
        "dtype": pixels.dtype,
        "crs": f"EPSG:{epsg}",
        "transform": Affine(size_m, 0.0, WEST, 0.0, -size_m, NORTH),
        "QUALITY": "100",
        "REVERSIBLE": "YES",
        "YCBCR420": "NO",
        "YCC": "NO",
    }
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path, "w", **{**profile, **options}) as out:
        out.write(pixels)
    return path


def write_safe(
    folder: Path,
    level: str = "2A",
    *,
    baseline: str = "05.09",
    offsets: Mapping[str, float] | None = None,
    changes: Sequence[tuple[str, str]] = (),
    tile_changes: Sequence[tuple[str, str]] = (),
) -> Path:
    """A product of one granule.

    Args:
        folder: where its SAFE folder is made.
        level: "1C" or "2A".
        baseline: processing baseline; from 04.00 on there are offsets.
        offsets: offset by band; by default -1000 for all.
        changes, tile_changes: text to replace in the product's and the granule's metadata.

    Returns:
        The SAFE folder.

    """
    name = f"S2B_MSIL{level}_20230516T051651_N{baseline.replace('.', '')}_R062_T45TUG_20230516T080000"
    safe = folder / f"{name}.SAFE"
    granule = Path("GRANULE", GRANULE.format(level=level))
    bands = [band for band in SIZES if level == "1C" or band != "B10"]
    images: list[str] = []
    for band in bands:
        ending = f"R{SIZES[band]}m/{TILE}_{band}_{SIZES[band]}m" if level == "2A" else f"{TILE}_{band}"
        images.append(str(granule / "IMG_DATA" / ending))
        write_jp2(safe / f"{images[-1]}.jp2", stored(band)[None], SIZES[band], NBITS=15)
    has_offset = float(baseline) >= 4
    if level == "2A":
        for band, size in OTHER_SIZES.items():
            images.append(str(granule / "IMG_DATA" / f"R{size}m/{TILE}_{band}_{size}m"))
            decoy = np.full((1, HEIGHT * 10 // size, WIDTH * 10 // size), 31_000, np.uint16)
            write_jp2(safe / f"{images[-1]}.jp2", decoy, size, NBITS=15)
        classes = (np.arange(HEIGHT // 2 * WIDTH // 2) % 12).reshape(1, HEIGHT // 2, WIDTH // 2)
        images.append(str(granule / "IMG_DATA" / f"R20m/{TILE}_SCL_20m"))
        write_jp2(safe / f"{images[-1]}.jp2", classes.astype(np.uint8), 20)
    elif has_offset:
        mask = np.zeros((3, HEIGHT // 6, WIDTH // 6), np.uint8)
        mask[0, :3], mask[1, 3:5], mask[2, 4:7] = 1, 1, 1
        write_jp2(safe / granule / "QI_DATA" / "MSK_CLASSI_B00.jp2", mask, 60)
    given = dict.fromkeys(SIZES, -1000.0) if offsets is None and has_offset else dict(offsets or {})
    (safe / granule / "MTD_TL.xml").write_text(_changed(_tile(level, has_offset, granule), tile_changes))
    product = _product(name, level, baseline, images, given)
    (safe / f"MTD_MSIL{level}.xml").write_text(_changed(product, changes))
    return safe


def _changed(text: str, changes: Sequence[tuple[str, str]]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def _product(name: str, level: str, baseline: str, images: list[str], offsets: Mapping[str, float]) -> str:
    listed = "\n".join(f"<IMAGE_FILE>{image}</IMAGE_FILE>" for image in images)
    if level == "2A":
        meaning = (
            "<QUANTIFICATION_VALUES_LIST>"
            '<BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
            '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>'
            "</QUANTIFICATION_VALUES_LIST>"
        )
        item, group = "BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST"
    else:
        meaning = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        item, group = "RADIO_ADD_OFFSET", "Radiometric_Offset_List"
    if offsets:
        shifts = "".join(
            f'<{item} band_id="{NUMBERS[band]}">{value:g}</{item}>' for band, value in offsets.items()
        )
        meaning += f"<{group}>{shifts}</{group}>"
    spectrum = (
        '<Spectral_Information bandId="3" physicalBand="B4"><RESOLUTION>10</RESOLUTION><Wavelength>'
        '<MIN unit="nm">646</MIN><MAX unit="nm">685</MAX><CENTRAL unit="nm">664.9</CENTRAL></Wavelength>'
        "</Spectral_Information>"
    )
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>2023-05-16T05:16:51.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>2023-05-16T05:16:51.024Z</PRODUCT_STOP_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<GENERATION_TIME>2023-05-16T08:00:00.000000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="GS2B_20230516T051651_041234_N{baseline}">
<SPACECRAFT_NAME>Sentinel-2B</SPACECRAFT_NAME>
<SENSING_ORBIT_NUMBER>62</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION></Datatake>
<Product_Organisation><Granule_List>
<Granule granuleIdentifier="S2B_OPER_MSI_L{level}_TL_2BPS_20230516T080000_A041234_T45TUG_N{baseline}">
{listed}
</Granule></Granule_List></Product_Organisation></Product_Info>
<Product_Image_Characteristics><Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT>
<SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
{meaning}
<Spectral_Information_List>{spectrum}</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-{level}_User_Product>
"""


def _tile(level: str, has_raster_mask: bool, granule: Path) -> str:
    mask = "MSK_CLASSI_B00.jp2" if has_raster_mask else "MSK_CLOUDS_B00.gml"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level}_Tile_Metadata.xsd">
<n1:General_Info>
<TILE_ID metadataLevel="Brief">S2B_OPER_MSI_L{level}_TL_2BPS_20230516T080000_A041234_T45TUG_N05.09</TILE_ID>
<SENSING_TIME metadataLevel="Standard">2023-05-16T05:23:40.123456Z</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 45N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE>
<Size resolution="10"><NROWS>{HEIGHT}</NROWS><NCOLS>{WIDTH}</NCOLS></Size>
<Size resolution="20"><NROWS>{HEIGHT // 2}</NROWS><NCOLS>{WIDTH // 2}</NCOLS></Size>
</Tile_Geocoding><Tile_Angles metadataLevel="Standard">
<Sun_Angles_Grid><Zenith><Values_List><VALUES>NaN NaN 31.1</VALUES></Values_List></Zenith></Sun_Angles_Grid>
<Mean_Sun_Angle><ZENITH_ANGLE unit="deg">30.25</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">145.5</AZIMUTH_ANGLE>
</Mean_Sun_Angle>
<Mean_Viewing_Incidence_Angle_List>
<Mean_Viewing_Incidence_Angle bandId="0"><ZENITH_ANGLE unit="deg">6</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">358</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
<Mean_Viewing_Incidence_Angle bandId="1"><ZENITH_ANGLE unit="deg">6</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">4</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
<Mean_Viewing_Incidence_Angle bandId="2"><ZENITH_ANGLE unit="deg">NaN</ZENITH_ANGLE>
<AZIMUTH_ANGLE unit="deg">NaN</AZIMUTH_ANGLE></Mean_Viewing_Incidence_Angle>
</Mean_Viewing_Incidence_Angle_List></Tile_Angles></n1:Geometric_Info>
<n1:Quality_Indicators_Info><Pixel_Level_QI>
<MASK_FILENAME type="MSK_CLASSI">{granule}/QI_DATA/{mask}</MASK_FILENAME>
</Pixel_Level_QI></n1:Quality_Indicators_Info>
</n1:Level-{level}_Tile_ID>
"""
