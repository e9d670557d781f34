"""`lode system ...`: what comes with Lode, what people bring in, and what of it leaves again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from db.connection import connect
from db.errors import UsageError
from inference.evidence.mineral_system import (
    builtin_systems,
    find_system,
    import_system,
    parse_system,
    to_toml,
)
from tests.conftest import RunLode

OWN = """# what we look for
title = "Our lithium"
name = "our_lithium"
commodities = ["Li"]

[elements]
Cs = 0.5  # caesium
Li = 1

[[geology]]
weight = 2
feature = "pluton"
range_m = 1000
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    return path


def test_a_system_goes_in_and_comes_out_byte_by_byte(run_lode: RunLode, own: Path, tmp_path: Path) -> None:
    done = run_lode("system", "import", own)
    assert (done.returncode, done.stdout) == (0, "stored mineral system our_lithium\n"), done.stderr
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    said = run_lode("system", "export", "our_lithium", first).stdout
    assert said == f"wrote mineral system our_lithium to {first}\n"
    done = run_lode("system", "import", first)
    assert done.stdout == "mineral system our_lithium is there already: nothing was changed\n"
    run_lode("system", "remove", "our_lithium")
    assert run_lode("system", "import", first).stdout == "stored mineral system our_lithium\n"
    run_lode("system", "export", "our_lithium", second)
    assert second.read_bytes() == first.read_bytes()
    assert run_lode("system", "export", "our_lithium").stdout == first.read_text()
    assert parse_system(first.read_text(), "f") == parse_system(OWN, "f")


def test_systems_are_listed_and_shown(run_lode: RunLode, own: Path) -> None:
    run_lode("system", "import", own)
    listed = run_lode("system", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == sorted([*builtin_systems(), "our_lithium"])
    (line,) = (line for line in listed if line.startswith("our_lithium"))
    assert "Our lithium [Li, Cs] (by lode_admin, " in line
    assert all("(comes with Lode)" in each for each in listed if each != line)
    shown = run_lode("system", "show", "our_lithium").stdout
    assert "elements by weight: Li 1, Cs 0.5" in shown
    assert "  100%  near pluton, range 1000 m" in shown
    assert "USGS" in run_lode("system", "show", "porphyry_copper").stdout


def test_another_of_the_same_name_takes_its_place_only_when_told_to(run_lode: RunLode, own: Path) -> None:
    run_lode("system", "import", own)
    own.write_text(OWN.replace("0.5", "0.7"))
    refused = run_lode("system", "import", own)
    assert refused.returncode == 1
    assert "there is another mineral system our_lithium" in refused.stderr
    assert "say --replace" in refused.stderr
    assert "Cs 0.5" in run_lode("system", "show", "our_lithium").stdout
    assert run_lode("system", "import", own, "--replace").stdout == "replaced mineral system our_lithium\n"
    assert "Cs 0.7" in run_lode("system", "show", "our_lithium").stdout


def test_what_comes_with_lode_stays(run_lode: RunLode, own: Path) -> None:
    own.write_text(OWN.replace("our_lithium", "tin_greisen"))
    for words in (("import", own), ("import", own, "--replace"), ("remove", "tin_greisen")):
        refused = run_lode("system", *words)
        assert refused.returncode == 1
        assert "tin_greisen comes with Lode" in refused.stderr
    exported = run_lode("system", "export", "tin_greisen").stdout
    assert exported == to_toml(builtin_systems()["tin_greisen"])


def test_what_cannot_be_done_says_what_to_do(run_lode: RunLode, own: Path, tmp_path: Path) -> None:
    missing = run_lode("system", "show", "gold")
    assert missing.returncode == 1
    assert "there is no mineral system 'gold'; there are: chromite_podiform, " in missing.stderr
    assert (
        "no mineral system 'gold' to remove; brought in were: none"
        in run_lode("system", "remove", "gold").stderr
    )
    assert (
        "cannot be read (No such file or directory)"
        in run_lode("system", "import", tmp_path / "none.toml").stderr
    )
    own.write_bytes(b"\xff\xfe\x00")
    assert "is no text in UTF-8" in run_lode("system", "import", own).stderr
    own.write_text(OWN.replace("Li = 1", "Lx = 1").replace("range_m", "radius"))
    wrong = run_lode("system", "import", own)
    assert wrong.returncode == 1
    assert "'Lx' is no element or oxide" in wrong.stderr
    assert "'radius' is not known" in wrong.stderr
    there = run_lode("system", "export", "tin_greisen", own)
    assert there.returncode == 1
    assert "say --overwrite" in there.stderr
    assert run_lode("system", "export", "tin_greisen", own, "--overwrite").returncode == 0
    assert own.read_text() == to_toml(builtin_systems()["tin_greisen"])


def test_a_stored_system_is_found_by_its_name(conn: Connection[Any], database_url: str) -> None:
    system = parse_system(OWN, "own.toml")
    assert import_system(conn, system) == "stored"
    conn.commit()
    with connect(database_url) as other:
        assert find_system(other, "our_lithium") == system
        assert find_system(other, "tin_greisen") is builtin_systems()["tin_greisen"]
        with pytest.raises(UsageError, match="comes with Lode"):
            import_system(other, builtin_systems()["tin_greisen"], is_replacing=True)
    stored = conn.execute(
        "select name, definition, sha256 = encode(sha256(convert_to(definition, 'UTF8')), 'hex')"
        " from lode.mineral_system"
    ).fetchall()
    assert stored == [("our_lithium", to_toml(system), True)]
