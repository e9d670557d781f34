"""The command ``lode``: quick, and telling users' mistakes from bugs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import types

import click
import pytest

import lode
from db.errors import RetryError, UsageError

HEAVY = ("torch", "rasterio", "numpy", "psycopg", "sqlalchemy", "alembic", "pydantic", "rich")


def fake(monkeypatch: pytest.MonkeyPatch, callback: object) -> None:
    """Put a subcommand ``fake`` that calls ``callback`` into the table."""
    module = types.ModuleType("fake_commands")
    module.command = click.command("fake")(callback)  # type: ignore[attr-defined, call-overload]
    monkeypatch.setitem(sys.modules, "fake_commands", module)
    monkeypatch.setitem(lode.SUBCOMMANDS, "fake", lode.Subcommand("fake_commands:command", "Fake."))


def raising(error: BaseException) -> object:
    def callback() -> None:
        raise error

    return callback


def test_help_lists_every_subcommand_and_imports_none():
    script = f"import sys, lode; lode.run(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *text, imported = done.stdout.splitlines()
    assert imported == "[]"
    listed = [line.split()[0] for line in text[text.index("Commands:") + 1 :] if line.strip()]
    assert listed == list(lode.SUBCOMMANDS)


def test_help_takes_less_than_half_a_second():
    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime  # of the processor: the machine may be busy with other tests

    spent = []
    for _ in range(3):
        before = seconds()
        subprocess.run([sys.executable, "-m", "lode", "--help"], capture_output=True, check=True)
        spent.append(seconds() - before)
    assert min(spent) < 0.5


@pytest.mark.parametrize("name", list(lode.SUBCOMMANDS))
def test_subcommand_is_there_and_its_help_is_the_one_listed(name: str):
    command = lode.cli.get_command(click.Context(lode.cli), name)
    assert command is not None
    assert command.get_short_help_str(limit=200) == lode.SUBCOMMANDS[name].help


def test_a_target_that_is_no_command_is_a_bug(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(lode.SUBCOMMANDS, "wrong", lode.Subcommand("db.errors:UsageError", "Wrong."))
    with pytest.raises(TypeError, match="is not a command"):
        lode.run(["wrong"])


@pytest.mark.parametrize("kind", [UsageError, RetryError])
def test_usage_error_is_printed_plainly(kind: type[Exception], monkeypatch, capfd):
    fake(monkeypatch, raising(kind("got 3 bands, expected 4: name them with --bands")))
    assert lode.run(["fake"]) == 1
    captured = capfd.readouterr()
    assert captured.err == "lode: error: got 3 bands, expected 4: name them with --bands\n"
    assert captured.out == ""


@pytest.mark.parametrize("error", [ValueError("bug"), EOFError("bug"), OSError(5, "bug")])
def test_any_other_error_keeps_its_traceback(error: Exception, monkeypatch):
    fake(monkeypatch, raising(error))
    with pytest.raises(type(error), match="bug"):
        lode.run(["fake"])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupt_is_130(error: BaseException, monkeypatch, capfd):
    fake(monkeypatch, raising(error))
    assert lode.run(["fake"]) == 130
    assert capfd.readouterr().err == "lode: interrupted\n"


def test_exit_code_of_a_subcommand_is_kept_and_its_value_is_not(monkeypatch):
    fake(monkeypatch, lambda: 7)
    assert lode.run(["fake"]) == 0
    fake(monkeypatch, lambda: click.get_current_context().exit(3))
    assert lode.run(["fake"]) == 3


@pytest.mark.parametrize("arguments", [["nonsense"], ["status", "--nonsense"], []])
def test_wrong_command_line_is_2(arguments: list[str], capfd):
    assert lode.run(arguments) == 2
    assert "Usage: lode" in capfd.readouterr().err


def test_version(capfd):
    assert lode.run(["--version"]) == 0
    assert capfd.readouterr().out.startswith("lode ")


def test_reader_that_left_is_no_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lode", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_traceback_of_a_bug_reaches_the_terminal():
    script = (
        "import lode, click, db.errors as e\n"
        "e.bug = click.command()(lambda: 1 / 0)\n"
        "lode.SUBCOMMANDS['bug'] = lode.Subcommand('db.errors:bug', '')\n"
        "lode.run(['bug'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr
