"""Copies of a database made by dump and restore, as an operator makes them."""

from __future__ import annotations

import os
import subprocess

from db.commands import psql_environment


def restore_copy(source_url: str, target_url: str) -> None:
    """``pg_dump -Fc | pg_restore`` into an empty database; what either of them complains of is an error."""
    dump = subprocess.run(
        ["pg_dump", "--format=custom", "--compress=0"],
        env=psql_environment(source_url, os.environ),
        capture_output=True,
        check=False,
    )
    assert (dump.returncode, dump.stderr) == (0, b""), dump.stderr.decode()
    load = subprocess.run(
        ["pg_restore", "--exit-on-error", "--dbname", ""],
        env=psql_environment(target_url, os.environ),
        input=dump.stdout,
        capture_output=True,
        check=False,
    )
    assert (load.returncode, load.stderr) == (0, b""), load.stderr.decode()
