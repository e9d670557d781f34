"""RPB files and _rpc.txt: what is written reads back, what is damaged is refused."""

from __future__ import annotations

import re
from pathlib import Path

import attr
import pytest
from rasterio.rpc import RPC

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.products.rpb import parse_rpb, read_rpb, rpb_text
from tests.pushbroom import Camera

POLYNOMIALS = attr.evolve(Camera().polynomials()[0], err_bias=1.25, err_rand=0.5)
TEXT = rpb_text(POLYNOMIALS)


def rpc_txt(rpc: RPC) -> str:
    """The other layout: one line per number, with units."""
    lines = [
        f"LINE_OFF: {rpc.line_off!r} pixels",
        f"SAMP_OFF: {rpc.samp_off!r} pixels",
        f"LAT_OFF: {rpc.lat_off!r} degrees",
        f"LONG_OFF: {rpc.long_off!r} degrees",
        f"HEIGHT_OFF: {rpc.height_off!r} meters",
        f"LINE_SCALE: {rpc.line_scale!r} pixels",
        f"SAMP_SCALE: {rpc.samp_scale!r} pixels",
        f"LAT_SCALE: {rpc.lat_scale!r} degrees",
        f"LONG_SCALE: {rpc.long_scale!r} degrees",
        f"HEIGHT_SCALE: {rpc.height_scale!r} meters",
    ]
    for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN"):
        series = getattr(rpc, f"{name.lower()}_coeff")
        lines += [f"{name}_COEFF_{place}: {value!r}" for place, value in enumerate(series, 1)]
    return "\n".join(lines) + "\n"


def on_disk(folder: Path, content: bytes, name: str = "scene.rpb") -> SourceFile:
    path = folder / name
    path.write_bytes(content)
    return SourceFile(path, name, len(content), (0, 0))


def test_what_is_written_reads_back_to_the_bit(tmp_path: Path) -> None:
    assert parse_rpb(TEXT, "scene.rpb") == POLYNOMIALS
    for content in (TEXT, TEXT.replace("\n", "\r\n"), "\ufeff" + TEXT):
        assert read_rpb(on_disk(tmp_path, content.encode())) == POLYNOMIALS


def test_the_series_are_not_mixed_up() -> None:
    """Every coefficient is another number, so that a swap of series or of terms would show."""
    numbers = {
        name: [float(base + place) for place in range(20)]
        for name, base in (
            ("line_num_coeff", 100),
            ("line_den_coeff", 200),
            ("samp_num_coeff", 300),
            ("samp_den_coeff", 400),
        )
    }
    rpc = attr.evolve(POLYNOMIALS, **numbers)
    text = rpb_text(rpc)
    listed = [float(each) for each in re.findall(r"^\t\t\t([^,)]+)", text, re.MULTILINE)]
    assert listed == [*range(100, 120), *range(200, 220), *range(300, 320), *range(400, 420)]
    assert parse_rpb(text, "x") == rpc
    assert parse_rpb(rpc_txt(rpc), "x") == attr.evolve(rpc, err_bias=None, err_rand=None)


def test_the_other_layout(tmp_path: Path) -> None:
    expected = attr.evolve(POLYNOMIALS, err_bias=None, err_rand=None)
    found = read_rpb(on_disk(tmp_path, rpc_txt(POLYNOMIALS).encode(), "scene_rpc.txt"))
    assert found == expected
    with_errors = "ERR_BIAS: 1.25 meters\nERR_RAND: 0.5 meters\n" + rpc_txt(POLYNOMIALS)
    assert parse_rpb(with_errors, "x") == POLYNOMIALS
    unsigned = rpc_txt(attr.evolve(POLYNOMIALS, lat_off=-12.5)).replace("LAT_OFF: -", "LAT_OFF: -00")
    assert parse_rpb(unsigned, "x").lat_off == -12.5


def test_empty_and_foreign_files_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"\n"):
        with pytest.raises(UsageError, match=r"scene\.rpb: the rational polynomials are empty"):
            read_rpb(on_disk(tmp_path, content))
    with pytest.raises(UsageError, match=r"scene\.rpb: holds no rational polynomials"):
        read_rpb(on_disk(tmp_path, b"<?xml version='1.0'?><ProductMetaData/>"))
    with pytest.raises(UsageError, match="holds no rational polynomials"):
        read_rpb(on_disk(tmp_path, b"\xff\xd8\xff\xe0" + b"\x00" * 100))
    with pytest.raises(UsageError, match="too large"):
        read_rpb(on_disk(tmp_path, TEXT.encode() + b" " * (1 << 20)))


def test_truncated_files_are_refused() -> None:
    """Wherever an RPB is cut before the last bracket, something is missing."""
    last = TEXT.rindex(")")
    for end in range(TEXT.index("lineOffset") + len("lineOffset ="), last, 37):
        with pytest.raises(UsageError, match=r"scene\.rpb: damaged"):
            parse_rpb(TEXT[:end], "scene.rpb")
    other = rpc_txt(POLYNOMIALS)
    for end in range(len("LINE_OFF: "), other.rindex("SAMP_DEN_COEFF_20"), 53):
        with pytest.raises(UsageError, match=r"damaged|not a number"):
            parse_rpb(other[:end], "scene_rpc.txt")


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"lineScale = [^;]+", "lineScale = 0.0", "line_scale is 0, not above 0"),
        (r"sampScale = [^;]+", "sampScale = -3.0", "samp_scale is -3"),
        (r"heightScale = [^;]+", "heightScale = 0", "height_scale is 0"),
        (r"latOffset = [^;]+", "latOffset = 143.9", "lat_off is 143.9, not a latitude"),
        (r"longOffset = [^;]+", "longOffset = 500000.0", "not a longitude"),
        (r"latOffset = [^;]+", "latOffset = nan", "latOffset is 'nan', not a number"),
        (r"sampOffset = [^;]+", "sampOffset = 1,5", "sampOffset is '1,5'"),
        (r"\tlatScale = [^;]+;\n", "", "latScale is missing"),
        (r"lineDenCoef = \([^,]+,", "lineDenCoef = (", "lineDenCoef has 19 coefficients"),
        (r"lineDenCoef = \(", "lineDenCoef = (1.0,", "lineDenCoef has 21 coefficients"),
        (r"sampNumCoef = \([^,]+,", "sampNumCoef = (inf,", "sampNumCoef 1 is 'inf'"),
    ],
)
def test_damage_is_named(pattern: str, replacement: str, message: str) -> None:
    damaged, count = re.subn(pattern, replacement, TEXT, count=1)
    assert count == 1
    with pytest.raises(UsageError, match=message):
        parse_rpb(damaged, "scene.rpb")


def test_a_denominator_of_zeros_is_refused() -> None:
    with pytest.raises(UsageError, match="every samp_den_coeff is 0"):
        parse_rpb(rpb_text(attr.evolve(POLYNOMIALS, samp_den_coeff=[0.0] * 20)), "scene.rpb")
