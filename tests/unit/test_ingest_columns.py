"""Columns and classes of vector files."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from db.classes import LandClass, find_class
from db.errors import UsageError
from ingest.class_mapping import ClassMapping, class_codes, read_class_mapping
from ingest.columns import Field, day_of, days, keep_only, match_columns, take_rows, text_of, texts
from ingest.files import source_file
from ingest.vectors import FeatureTable

CLASSES = [
    LandClass(0, "background", "background", "背景", "none", "#000000", True, 0),
    LandClass(5, "dump", "dump", "堆放场", "occupied", "#000000", True, 0),
    LandClass(6, "open_pit", "open pit", "露天采场", "excavated", "#000000", True, 0),
]


def table(**columns: list[Any]) -> FeatureTable:
    count = len(next(iter(columns.values())))
    shapes = np.empty(count, object)
    shapes[:] = [shapely.Point(0, 0)] * count
    numbers = np.arange(1, count + 1)
    return FeatureTable("x.gpkg", "0", None, numbers + 100, numbers, shapes, {}, {}, columns)


def test_columns_are_found_by_name_alias_or_statement() -> None:
    fields = [Field("class", ("land_class",), is_required=True), Field("valid_on", ("date", "year"))]
    features = table(Land_Class=["a"], YEAR=[2021], Datum=["x"])
    assert match_columns(features, fields, {}) == {"class": "Land_Class", "valid_on": "YEAR"}
    assert match_columns(features, fields, {"valid_on": "Datum"})["valid_on"] == "Datum"
    both = table(date=["2021-01-01"], year=[2021], **{"class": ["a"], "land_class": ["b"]})
    assert match_columns(both, fields, {}) == {"class": "class", "valid_on": "date"}


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"klass": "a"}, "no such field; ours are: class"),
        ({"class": "missing"}, "has no column 'missing'; its columns are: art"),
        ({}, "which column holds the class"),
    ],
)
def test_columns_that_are_not_there(stated: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        match_columns(table(art=["a"]), [Field("class", is_required=True)], stated)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        (" a ", " a "),
        (12, "12"),
        (12.5, "12.5"),
        (True, "True"),
        ("石矿 \"x\" 'y'; drop table lode.mine; --", "石矿 \"x\" 'y'; drop table lode.mine; --"),
        (date(2021, 6, 30), "2021-06-30"),
        (datetime(2021, 6, 30), "2021-06-30"),
        (datetime(2021, 6, 30, 12), "2021-06-30T12:00:00"),
    ],
)
def test_values_as_text(value: Any, text: str | None) -> None:
    assert text_of(value) == text


def test_zero_bytes_are_refused_with_their_row() -> None:
    with pytest.raises(UsageError, match=r"row 2 \(feature id 102\): column 'name' holds a zero byte"):
        texts(table(name=["a", "b\0c"]), "name")


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2021-06-30", date(2021, 6, 30)),
        ("2021/6/30", date(2021, 6, 30)),
        ("2021-06-30T10:00:00Z", date(2021, 6, 30)),
        (date(2021, 6, 30), date(2021, 6, 30)),
        (2021, date(2021, 7, 1)),
        ("2021", date(2021, 7, 1)),
        (201800, None),
        ("30.06.2021", None),
        (None, None),
        (0, None),
        ("1234-01-01", None),
        ("2021-02-30", None),
    ],
)
def test_days_and_years(value: Any, day: date | None) -> None:
    assert day_of(value) == day


def test_odd_days_are_refused_with_their_row() -> None:
    with pytest.raises(UsageError, match=r"row 2 \(feature id 102\): 201800"):
        days(table(year=[2018, 201800]), "year")
    with pytest.raises(UsageError, match="that has been"):
        days(table(year=[2999]), "year")


def test_rows_are_chosen_by_value_and_keep_their_names() -> None:
    features = table(rock=["intrusive", "basalt", "intrusive", None], era=["a", "a", "b", "b"])
    assert keep_only(features, [("rock", "intrusive")]) == [0, 2]
    assert keep_only(features, [("rock", "intrusive"), ("rock", "basalt")]) == [0, 1, 2]
    assert keep_only(features, [("rock", "intrusive"), ("era", "b")]) == [2]
    assert keep_only(features, []) == [0, 1, 2, 3]
    with pytest.raises(UsageError, match="no feature has rock=gneiss"):
        keep_only(features, [("rock", "gneiss")])
    with pytest.raises(UsageError, match="no column 'stone'"):
        keep_only(features, [("stone", "gneiss")])
    kept = take_rows(features, [2, 3])
    assert kept.row_name(0) == "row 3 (feature id 103)"
    assert kept.columns["era"] == ["b", "b"]


def test_classes_have_a_code_a_key_and_names() -> None:
    for text in ("6", "open_pit", "Open Pit", " OPEN_PIT ", "露天采场"):
        found = find_class(CLASSES, text)
        assert found is not None
        assert found.code == 6
    assert find_class(CLASSES, "pit") is None


def mapping(folder: Path, text: str) -> ClassMapping:
    path = folder / "classes.toml"
    path.write_text(text, "utf-8")
    return read_class_mapping(source_file(path), CLASSES)


def test_a_table_of_classes(tmp_path: Path) -> None:
    expected = {"0": None, "255": None, "10": 6, "Site d'extraction": 6, "7": None, "矸石": 5}
    entries = '10 = "open_pit"\n"Site d\'extraction" = "6"\n7 = "ignore"\n"矸石" = "堆放场"\n'
    assert mapping(tmp_path, f"ignore = [0, 255]\n[classes]\n{entries}").codes == expected
    assert mapping(tmp_path, f"[classes]\n{entries}ignore = [0, 255]\n").codes == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# nothing", r"needs a table \[classes\]"),
        ("[classes]\n", r"needs a table \[classes\]"),
        ("classes = 3", r"needs a table \[classes\]"),
        ("[classes]\n10 = ", "not TOML"),
        (
            '[classes]\n10 = "quarry"',
            "is mapped to 'quarry', which is no class; classes are: 0 background",
        ),
        ('ignore = 3\n[classes]\n10 = "dump"', "ignore is a list"),
        ('ignore = [10]\n[classes]\n10 = "dump"', "both ignored and a class"),
        ('[classes]\n10 = "dump"\n[other]\nx = 1', "'other' is not known"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        mapping(tmp_path, text)


def test_values_without_a_class_are_listed_with_their_number() -> None:
    with pytest.raises(UsageError) as refusal:
        class_codes(["dump", "pit", "pit", None], None, CLASSES, "x.gpkg")
    assert "values 'pit' (2 times), None (1 times) are no classes" in str(refusal.value)
    assert "Classes are: 0 background, 5 dump, 6 open_pit" in str(refusal.value)
    assert class_codes(["dump", "6", "堆放场"], None, CLASSES, "x") == [5, 6, 5]
    table_of = ClassMapping({"10": 6, "0": None})
    assert class_codes(["10", "0"], table_of, CLASSES, "x") == [6, None]
    # With a table nothing else counts: code 5 in the file is not our class 5.
    with pytest.raises(UsageError, match="'5'"):
        class_codes(["10", "5"], table_of, CLASSES, "x")
