"""Names and elements of layers of evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from db.errors import UsageError
from ingest.evidence.elements import ELEMENTS, OXIDES, check_element
from ingest.evidence.naming import name_layers
from ingest.files import SourceFile, source_file

SURVEY = """
Ag Al2O3 As Au B Ba Be Bi CaO Cd Co Cr Cu F Fe2O3 Hg K2O La Li MgO Mn Mo Na2O Nb Ni P Pb Sb SiO2 Sn
Sr Th Ti U V W Y Zn Zr
"""
"""What a stream-sediment survey of China analyses."""


def files(folder: Path, *names: str) -> list[SourceFile]:
    for name in names:
        (folder / name).write_text("x")
    return [source_file(folder / name) for name in names]


def test_elements_are_known_and_nothing_else_is() -> None:
    assert len(ELEMENTS) == len(set(ELEMENTS)) == 92
    assert not set(ELEMENTS) & set(OXIDES)
    assert len(SURVEY.split()) == 39
    assert [check_element(symbol, "x") for symbol in SURVEY.split()] == SURVEY.split()
    for wrong in ("xx", "", "Li2", "FeO3", "pH"):
        with pytest.raises(UsageError, match=r"is no element or oxide.*Ag.*Fe2O3"):
            check_element(wrong, "x")
    with pytest.raises(UsageError, match="'LI' is no element or oxide; is Li meant"):
        check_element("LI", "x")
    with pytest.raises(UsageError, match="'CO' is no element or oxide; is Co meant"):
        check_element("CO", "x")


def test_a_layer_is_named_by_option_element_pattern_or_file(tmp_path: Path) -> None:
    (li,) = files(tmp_path, "Idw_Li.tif")
    for options, expected in (
        ({}, ("Idw_Li", None)),
        ({"element": "Li"}, ("Li", "Li")),
        ({"name": "lithium", "element": "Li"}, ("lithium", "Li")),
        ({"pattern": "Idw_{element}.tif"}, ("Li", "Li")),
        ({"pattern": "{element}_Li.tif", "name": "x"}, None),
        ({"pattern": "Idw_{element}.tiff"}, None),
        ({"pattern": "Idw_.tif"}, None),
        ({"pattern": "{element}{element}"}, None),
        ({"pattern": "Idw_{element}.tif", "element": "Li"}, None),
        ({"name": " x"}, None),
        ({"name": ""}, None),
        ({"element": "xx"}, None),
    ):
        given = {"name": None, "element": None, "pattern": None} | options
        if expected is None:
            with pytest.raises(UsageError):
                name_layers([li], **given)
        else:
            (named,) = name_layers([li], **given)
            assert (named.name, named.element) == expected


def test_a_pattern_is_no_regular_expression(tmp_path: Path) -> None:
    odd, other = files(tmp_path, "a.b(1)_Fe2O3.tif", "aXb1_Li.tif")
    (named,) = name_layers([odd], name=None, element=None, pattern="a.b(1)_{element}.tif")
    assert named.element == "Fe2O3"
    with pytest.raises(UsageError, match=r"aXb1_Li.tif: is not named like"):
        name_layers([other], name=None, element=None, pattern="a.b(1)_{element}.tif")


def test_several_files_are_named_before_one_is_read(tmp_path: Path) -> None:
    several = files(tmp_path, "Idw_Li.tif", "Idw_xx.tif")
    with pytest.raises(UsageError, match=r"Idw_xx.tif: 'xx' is no element"):
        name_layers(several, name=None, element=None, pattern="Idw_{element}.tif")
    for options in ({"name": "x", "element": None}, {"name": None, "element": "Li"}):
        with pytest.raises(UsageError, match="2 are given"):
            name_layers(several, pattern=None, **options)
    (tmp_path / "other").mkdir()
    twice = [*several[:1], *files(tmp_path / "other", "Idw_Li.tif")]
    with pytest.raises(UsageError, match="several files would become layer 'Idw_Li'"):
        name_layers(twice, name=None, element=None, pattern=None)
