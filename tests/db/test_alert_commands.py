"""`lode alert`: what it prints, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from datetime import date

import pytest

from db.alerts.commands import alert_group
from db.connection import connect
from lode import SUBCOMMANDS, run
from tests.alert_rows import BARE, District


@pytest.fixture
def alert_id(database_url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """An open alert of new damage (4 cells) in the database that `lode` speaks to, and one of its pond."""
    with connect(database_url) as conn:
        district = District(conn)
        district.publish(date(2021, 5, 1), BARE)
        district.publish(date(2022, 5, 1), "pppbbb\nbbbbbt\nbbbbbb")
        conn.commit()
        row = conn.execute("select alert_id from lode.alert where kind = 'new_damage'").fetchone()
    monkeypatch.setenv("LODE_DATABASE_URL", database_url)
    assert row is not None
    return int(row[0])


def test_the_group_says_what_the_front_door_says() -> None:
    assert alert_group.get_short_help_str(limit=80) == SUBCOMMANDS["alert"].help


def test_list_as_csv_json_and_table(alert_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The tailings pond grew from nothing: a warning, which ranks before the notice."""
    assert run(["alert", "list", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["rank"], row["level"], row["kind"]) for row in rows] == [
        ("1", "warning", "tailings_growth"),
        ("2", "notice", "new_damage"),
    ]
    assert (
        run(["alert", "list", "--format", "json", "--level", "notice", "--mine", "M1", "--year", "2022"]) == 0
    )
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["alert_id"], row["reason"][:25]) == (alert_id, "New damage of 40,032 m2 f")
    assert run(["alert", "list"]) == 0
    table = capsys.readouterr().out
    assert "tailings_growth" in table
    assert "40,032" in table
    assert run(["alert", "list", "--year", "1999"]) == 0
    assert capsys.readouterr().out == "no alert matches\n"


def test_confirm_reject_open_and_show(alert_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Reviewed alerts leave the list of what is open."""
    assert run(["alert", "confirm", str(alert_id), "--note", "新增采坑, seen on 3 May"]) == 0
    assert capsys.readouterr().out == f"alert {alert_id} is confirmed\n"
    assert run(["alert", "list", "--kind", "new_damage"]) == 0
    assert capsys.readouterr().out == "no alert matches\n"
    assert run(["alert", "show", str(alert_id)]) == 0
    shown = capsys.readouterr().out
    assert "新增采坑, seen on 3 May" in shown
    assert "confirmed" in shown
    assert run(["alert", "reject", str(alert_id), "--note", "it was snow"]) == 0
    assert run(["alert", "open", str(alert_id)]) == 0
    capsys.readouterr()
    assert run(["alert", "list", "--kind", "new_damage", "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["state"], row["note"], row["reviewed_by"]) == ("open", "it was snow", None)


def test_what_has_risen_is_listed_with_what_is_open(
    alert_id: int, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until it is rejected again, for which a note is asked; `show` tells both reviews."""
    chosen = ["--kind", "new_damage", "--format", "csv"]
    assert run(["alert", "reject", str(alert_id), "--note", "snow"]) == 0
    with connect(database_url) as conn:
        district = District(conn, made=True)
        district.publish(date(2022, 9, 1), "pppppb\nbbbbbt\nbbbbbb")
    capsys.readouterr()
    assert run(["alert", "list", *chosen]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["state"], row["has_risen_since_review"], row["is_to_review"]) == ("rejected", "True", "True")
    assert run(["alert", "list", "--kind", "new_damage"]) == 0
    assert "rejected, risen" in capsys.readouterr().out
    assert run(["alert", "list", *chosen, "--state", "open"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(["alert", "reject", str(alert_id), "--note", "still snow"]) == 0
    capsys.readouterr()
    assert run(["alert", "list", *chosen]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert run(["alert", "show", str(alert_id)]) == 0
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("rejected at notice, 40,032 m2: snow")
    assert second.endswith("rejected at warning, 60,048 m2: still snow")


def test_wrong_calls_are_refused(alert_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code, said in (
        (["confirm", "99999999999"], 1, "there is no alert 99999999999;"),
        (["show", "0"], 1, "there is no alert 0;"),
        (["reject", "1"], 2, "--note"),
        (["reject", "1", "--note", "  "], 1, "--note is empty"),
        (["confirm", "one"], 2, "is not a valid integer"),
        (["list", "--mine", "M9"], 1, "no mine has the code M9"),
        (["list", "--year", "99999999999999999999"], 2, "99999999999999999999"),
        (["list", "--level", "loud"], 2, "'loud' is not one of"),
    ):
        assert run(["alert", *arguments]) == code
        assert said in capsys.readouterr().err
