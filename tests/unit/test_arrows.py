"""The arrows of the house: who may import whom, and where SQL may stand."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support import REPOSITORY

MAY_IMPORT = {
    "db": {"db"},
    "ingest": {"db", "ingest"},
    "inference": {"db", "inference"},
    "reporting": {"db", "reporting"},
    "service": {"db", "inference", "ingest", "reporting", "service"},
    "demo": {"db", "demo", "inference", "ingest", "lode"},
}
OURS = {"benchmarks", "db", "demo", "inference", "ingest", "lode", "reporting", "service", "tests"}
KEPT_OUT = {"db": {"rasterio", "torch"}, "ingest": {"torch"}, "reporting": {"torch"}}

_STATEMENT = re.compile(
    r"\b(select\b.+\bfrom|insert\s+into|update\s+[\w.]+\s+set|delete\s+from|create\s+(table|view)|copy\s+[\w.]+\s)",
    re.IGNORECASE | re.DOTALL,
)


def modules(package: str) -> list[Path]:
    found = sorted((REPOSITORY / package).rglob("*.py"))
    assert found, f"no modules in {package}"
    return found


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            pytest.fail(f"{path} imports relatively; write the package's name")
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_along_the_arrows(package: str) -> None:
    wrong = {
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if name in OURS - MAY_IMPORT[package] or name in KEPT_OUT.get(package, set())
    }
    assert wrong == set()


@pytest.mark.parametrize("package", ["ingest", "inference", "reporting", "service", "demo"])
def test_sql_stands_in_db_and_sql_only(package: str) -> None:
    """Looked for in string constants that are not docstrings."""
    wrong = []
    for path in modules(package):
        tree = ast.parse(path.read_text("utf-8"))
        documentation = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        wrong += [
            f"{path.relative_to(REPOSITORY)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
            and _STATEMENT.search(node.value)
        ]
    assert wrong == []


def test_the_sql_pattern_finds_statements() -> None:
    for statement in ("select a from lode.scene", "INSERT INTO x values (1)", "update lode.run set a = 1"):
        assert _STATEMENT.search(statement)
    assert not _STATEMENT.search("select a band from the scene's list".replace("from", "of"))
