"""The clients that tests open: where they are, how they connect, what to do when one is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

SYSTEM_PYTHON = "/usr/bin/python3"
"""Debian's Python, for which python3-qgis is built."""

_QGIS_START = """
import json, os, sys
from qgis.core import *
app = QgsApplication([], False)
app.initQgis()
arguments = json.loads(sys.argv[1])
"""

# QGIS 3.22 may crash while it tears down layers whose connection is gone.
_QGIS_END = """
print(json.dumps(found))
sys.stdout.flush()
os._exit(0)
"""


def missing(what: str) -> None:
    """Skip here, fail where the client must be installed."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


def need(program: str, package: str) -> None:
    """Skip or fail when a program is not installed."""
    if shutil.which(program) is None:
        missing(package)


def has_qgis() -> bool:
    """Whether QGIS's Python bindings are installed."""
    return not subprocess.run(
        [SYSTEM_PYTHON, "-c", "import qgis.core"], check=False, capture_output=True
    ).returncode


def run_qgis(script: str, home: Path, **arguments: Any) -> Any:
    """Run lines within a headless QGIS; they read ``arguments`` and leave what they found in ``found``."""
    if not has_qgis():
        missing("python3-qgis")
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", _QGIS_START + script + _QGIS_END, json.dumps(arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        env={"QT_QPA_PLATFORM": "offscreen", "PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def address(url: str) -> dict[str, str]:
    """Host, port, user and database of a URL."""
    parts = {"port": "5432", **conninfo_to_dict(url)}
    return {key: str(parts[key]) for key in ("host", "port", "user", "dbname")}


def ogr_source(url: str) -> str:
    """The database as OGR names it."""
    return "PG:" + " ".join(f"{key}='{value}'" for key, value in address(url).items())


def qgis_source(url: str) -> str:
    """The database as QGIS's layers name it."""
    return " ".join(f"{key}='{value}'" for key, value in address(url).items())
