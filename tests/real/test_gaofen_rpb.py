"""Polynomials of real Gaofen products against the corners that their XML files state."""

from __future__ import annotations

import re

import numpy as np
import pytest

from db.errors import UsageError
from ingest.files import SourceFile, source_file
from ingest.preprocess.rpc_model import locate, project
from ingest.products.rpb import parse_rpb, read_rpb, rpb_text
from tests.support import test_data as data

GF1 = "GAOFEN-1/PMS1/data/GF1_PMS1_E69.4_N33.3_20220624_L1A0006547030"
WFV = "GAOFEN-1/WFV3/data/GF1_WFV3_E89.0_N23.9_20200523_L1A0004819525"
CHILE = "GAOFEN-2/PMS/data/GF2PMS12889847001/GF2_PMS2_W72.3_S36.7_20230213_L1A2147483647"
MEXICO = "GAOFEN-2/PMS/data/GF2PMS4793969/GF2_PMS1_W91.0_N17.6_20200510_L1A0004793969"
PALU = "GAOFEN-2/PMS/data/GF2_PMS2_E120.2_S0.0_20181002_L1A0003492622"

# Product, how far off lines and samples may be in pixels, and lines by which the lower corners lie beyond the
# image. Most XML files round the corners to 4 digits, up to 14 pixels of a panchromatic image.
CASES = {
    "GF1 pan": (f"{GF1}/{GF1[-43:]}-PAN1", 4.0, 0.0),
    "GF1 mss": (f"{GF1}/{GF1[-43:]}-MSS1", 4.0, 202.0),
    "WFV": (f"{WFV}/{WFV[-43:]}", 2.0, 0.0),
    "Chile pan": (f"{CHILE}-PAN2", 3.0, 383.0),
    "Mexico pan": (f"{MEXICO}-PAN1", 14.0, 383.0),
    "Mexico mss": (f"{MEXICO}-MSS1", 4.0, 295.0),
    "Palu pan": (f"{PALU}/{PALU[-43:]}-PAN2", 60.0, 383.0),
    "Palu mss": (f"{PALU}/{PALU[-43:]}-MSS2", 15.0, 295.0),
}


def stated(text: str, name: str) -> float:
    found = re.search(rf"<{name}>([^<]+)<", text)
    assert found is not None
    return float(found.group(1))


def rpb_and_xml(case: str) -> tuple[SourceFile, str]:
    path = data("gaofen_products") / f"{case}.rpb"
    return source_file(path), path.with_suffix(".xml").read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("case", CASES)
def test_corners_project_onto_the_images_corners(case: str) -> None:
    name, tolerance_px, beyond_px = CASES[case]
    file, xml = rpb_and_xml(name)
    rpc = read_rpb(file)
    corners = ("TopLeft", "TopRight", "BottomRight", "BottomLeft")
    lon = [stated(xml, f"{corner}Longitude") for corner in corners]
    lat = [stated(xml, f"{corner}Latitude") for corner in corners]
    last_line = stated(xml, "HeightInPixels") - 1
    last_sample = stated(xml, "WidthInPixels") - 1
    line, sample = project(rpc, lon, lat, rpc.height_off)
    np.testing.assert_allclose(sample, [0, last_sample, last_sample, 0], rtol=0, atol=tolerance_px)
    bottom = last_line + beyond_px
    np.testing.assert_allclose(line, [0, 0, bottom, bottom], rtol=0, atol=tolerance_px)
    # And back: a thousandth of a degree is about 110 m, so a swap of axes or of signs would show.
    back_lon, back_lat = locate(rpc, line, sample, rpc.height_off)
    np.testing.assert_allclose(back_lon, lon, rtol=0, atol=1e-7)
    np.testing.assert_allclose(back_lat, lat, rtol=0, atol=1e-7)


def test_samples_count_from_the_centre_of_the_first_pixel() -> None:
    """The one XML that states its corners to 15 digits decides between 0 and -0.5."""
    file, xml = rpb_and_xml(CASES["Chile pan"][0])
    rpc = read_rpb(file)
    sides = {"Left": 0.0, "Right": stated(xml, "WidthInPixels") - 1}
    for end in ("Top", "Bottom"):
        for side, column in sides.items():
            lon, lat = (stated(xml, f"{end}{side}{each}") for each in ("Longitude", "Latitude"))
            assert float(project(rpc, lon, lat, 0.0)[1]) == pytest.approx(column, abs=0.06)


@pytest.mark.parametrize("case", CASES)
def test_what_was_read_is_written_and_read_alike(case: str) -> None:
    rpc = read_rpb(rpb_and_xml(CASES[case][0])[0])
    assert parse_rpb(rpb_text(rpc), "again.rpb") == rpc


def test_the_empty_one_is_refused() -> None:
    path = data("gaofen_products") / f"{CHILE}-MSS2.rpb"
    with pytest.raises(UsageError, match=r"MSS2\.rpb.*empty"):
        read_rpb(SourceFile(path, path.name, path.stat().st_size, (0, 0)))
