"""`lode run`: the analyst overrules the year map, withdraws a run and takes that back."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from psycopg import Connection

from db import runs
from db.errors import UsageError
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import RunLode
from tests.grids import CELL_M2, cells

GROUND = "xxxx\nxxxx"


@pytest.fixture
def two_runs(conn: Connection[Any]) -> tuple[int, int]:
    """Runs of an early scene, which saw pits, and of a late one, which saw dumps, on the same ground."""
    add_mine(conn, "M1", cells(GROUND, "x"))
    model = add_model(conn, "net")
    early = add_scene(conn, "early", date(2021, 5, 1), cells(GROUND, "x"))
    late = add_scene(conn, "late", date(2021, 8, 1), cells(GROUND, "x"))
    found = (
        publish_drawing(conn, early, model, 2021, "pppp\nbbbb"),
        publish_drawing(conn, late, model, 2021, "ddbb\nbbbb"),
    )
    conn.commit()
    return found


def damage(conn: Connection[Any]) -> dict[str, float]:
    """Damaged cells of the mine by class, without those it has none of."""
    rows = conn.execute(
        "select land_class, area_m2 from lode_api.damage_by_mine_year where area_m2 > 0"
    ).fetchall()
    conn.commit()
    return {name: round(area / CELL_M2, 4) for name, area in rows}


def test_the_analysts_choice_goes_before_the_rule(
    conn: Connection[Any], two_runs: tuple[int, int], run_lode: RunLode
) -> None:
    assert damage(conn) == {"dump": 2}
    done = run_lode("run", "prefer", str(two_runs[0]))
    assert done.returncode == 0, done.stderr
    assert damage(conn) == {"open_pit": 4}
    assert run_lode("run", "prefer", str(two_runs[0]), "--priority", "0").returncode == 0
    assert damage(conn) == {"dump": 2}
    refused = run_lode("run", "prefer", "4711")
    assert refused.returncode == 1
    assert "there is no run 4711" in refused.stderr


def test_a_withdrawn_run_gives_its_ground_back(
    conn: Connection[Any], two_runs: tuple[int, int], run_lode: RunLode
) -> None:
    late = str(two_runs[1])
    done = run_lode("run", "withdraw", late, "--reason", "snow taken for dumps")
    assert done.returncode == 0, done.stderr
    assert damage(conn) == {"open_pit": 4}
    listed = run_lode("run", "list", "--all").stdout
    assert "withdrawn" in listed
    assert "snow taken for dumps" in listed
    assert "late" not in run_lode("run", "list").stdout
    twice = run_lode("run", "withdraw", late, "--reason", "again")
    assert "only a published run can be withdrawn" in twice.stderr
    assert run_lode("run", "reinstate", late, "--make-current").returncode == 0
    assert damage(conn) == {"dump": 2}
    assert "only a withdrawn run" in run_lode("run", "reinstate", late).stderr


def test_a_withdrawal_needs_a_reason(conn: Connection[Any], two_runs: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="say why it is withdrawn"):
        runs.withdraw_run(conn, two_runs[0], "  ")
