"""Mineral systems: the built-in ones, and what is said of a file that is none."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.errors import UsageError
from inference.evidence.anomaly import base_element
from inference.evidence.mineral_system import (
    GeologyRule,
    MineralSystem,
    builtin_systems,
    parse_system,
    to_toml,
)

LEAST = """
name = "mine"
title = "Mine"

[elements]
Li = 1

[[geology]]
feature = "pluton"
range_m = 1000
"""

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text == text.strip()
)
weights = st.floats(1e-3, 1e3)
words = st.lists(texts, max_size=3, unique=True).map(tuple)
rules = st.one_of(
    st.builds(
        GeologyRule,
        st.sampled_from(["fault", "pluton"]),
        match=words,
        range_m=st.floats(1, 1e5),
        weight=weights,
    ),
    st.builds(
        GeologyRule,
        st.just("lithology"),
        match=st.lists(texts, min_size=1, max_size=3, unique=True).map(tuple),
        range_m=st.none() | st.floats(1, 1e5),
        weight=weights,
    ),
    st.builds(
        GeologyRule,
        st.just("layer"),
        name=texts,
        weight=weights,
        direction=st.sampled_from(["high", "low"]),
    ),
)
systems = st.builds(
    MineralSystem,
    name=st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True),
    title=texts,
    description=st.just("") | texts,
    commodities=words,
    elements=st.dictionaries(st.sampled_from(["Li", "Cr2O3", "TFe2O3", "MgO", "Au"]), weights, min_size=1),
    geology=st.lists(rules, min_size=1, max_size=3).map(tuple),
    anomaly_share=st.floats(0, 1),
    references=words,
)


def test_five_systems_come_with_lode() -> None:
    found = builtin_systems()
    assert list(found) == [
        "chromite_podiform", "lithium_pegmatite", "orogenic_gold", "porphyry_copper", "tin_greisen",
    ]  # fmt: skip
    for name, system in found.items():
        assert system.name == name
        assert len(system.references) >= 3
        assert max(system.elements.values()) == 1.0
        assert {"fault", "pluton"} <= {rule.feature for rule in system.geology}
        file = files("inference.evidence") / "systems" / f"{name}.toml"
        assert parse_system(file.read_text(encoding="utf-8"), name) == system
    main = {name: max(system.elements, key=system.elements.__getitem__) for name, system in found.items()}
    assert main == {
        "chromite_podiform": "Cr", "lithium_pegmatite": "Li", "orogenic_gold": "Au",
        "porphyry_copper": "Cu", "tin_greisen": "Sn",
    }  # fmt: skip
    every = {base_element(symbol) for system in found.values() for symbol in system.elements}
    assert {"Ni", "Cs", "As", "Mo", "W"} <= every


@given(systems)
def test_what_is_written_is_read_again_and_written_alike(system: MineralSystem) -> None:
    text = to_toml(system)
    again = parse_system(text, "file")
    assert again == system
    assert to_toml(again) == text
    assert again.digest == system.digest
    stored = json.loads(json.dumps(system.as_json()))
    assert MineralSystem.from_json(stored) == system


def test_what_need_not_be_said_has_defaults() -> None:
    system = parse_system(LEAST, "file")
    assert (system.anomaly_share, system.description, system.references) == (0.5, "", ())
    assert system.geology == (GeologyRule("pluton", range_m=1000.0),)
    assert system.geology[0].text == "near pluton, range 1000 m"


def test_the_digest_is_of_the_meaning() -> None:
    system = parse_system(LEAST, "file")
    two = replace(system, elements={"Li": 1.0, "Cs": 0.5})
    turned = replace(system, elements={"Cs": 0.5, "Li": 1.0})
    assert two.digest == turned.digest != system.digest
    assert to_toml(two) == to_toml(turned)
    assert replace(system, anomaly_share=0.4).digest != system.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', 'name = "My Mine"', "name is 'My Mine': write lower-case letters"),
        ('name = "mine"', "", "name is missing: write text in quotes"),
        ('title = "Mine"', "title = 3", "title is 3: write text in quotes"),
        ('title = "Mine"', 'title = "Mine"\ncolor = "red"', "'color' is not known: the keys are name, title"),
        (
            'title = "Mine"',
            'title = "Mine"\ncommodities = "Li"',
            "commodities is 'Li': write a list of texts",
        ),
        (
            'title = "Mine"',
            'title = "Mine"\nanomaly_share = 2',
            "anomaly_share is 2: write a share from 0 to 1",
        ),
        ('title = "Mine"', 'title = "Mine"\nanomaly_share = nan', "anomaly_share is nan"),
        ("Li = 1", "Lii = 1", "elements: 'Lii' is no element or oxide: write Li, Cr2O3, ..."),
        ("Li = 1", "Li = -1", "elements: Li is -1: write a weight above 0"),
        ("Li = 1", "Li = inf", "elements: Li is inf: write a weight above 0"),
        ("Li = 1", "Li = true", "elements: Li is True: write a weight above 0"),
        ("Li = 1", "", "there is no [elements]: name one at least"),
        (
            'feature = "pluton"',
            'feature = "dyke"',
            "geology 1: feature is 'dyke': write one of fault, pluton",
        ),
        ("range_m = 1000", "", "geology 1: range_m is missing: write over what distance it tells, m"),
        ("range_m = 1000", "range_m = 0", "geology 1: range_m is 0: write a distance above 0, m"),
        ("range_m = 1000", "range_m = 9\nname = 'x'", "only layers have a name"),
        ("range_m = 1000", "range_m = 9\ndirection = 'low'", "only layers have a direction"),
        ("range_m = 1000", "range_m = 9\nweigth = 2", "geology 1: 'weigth' is not known"),
        ('feature = "pluton"', 'feature = "lithology"', "which rocks are meant is not said"),
        ('feature = "pluton"\nrange_m = 1000', 'feature = "layer"', "which layer is meant is not said"),
        ('feature = "pluton"', 'feature = "layer"\nname = "k"', "a layer has no range_m: leave it out"),
        ("[[geology]]", "[geology]", "there is no [[geology]]"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(old: str, new: str, said: str) -> None:
    assert old in LEAST
    with pytest.raises(UsageError) as told:
        parse_system(LEAST.replace(old, new), "mine.toml")
    assert said in str(told.value)
    assert str(told.value).startswith("mine.toml is no mineral system yet:\n- ")


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(UsageError) as told:
        parse_system("[elements]\nXx = 1\n[[geology]]\nfeature = 'x'\nweight = 0", "f")
    assert str(told.value).count("\n- ") == 5  # name, title, element, feature, weight


@pytest.mark.parametrize("text", ["name = ", "a = 1\na = 2", "[" * 5000])
def test_what_is_no_toml_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"f is no TOML .*lode system export NAME FILE"):
        parse_system(text, "f")


def test_a_stored_system_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(UsageError, match="a stored mineral system cannot be read"):
        MineralSystem.from_json({"name": "x"})
