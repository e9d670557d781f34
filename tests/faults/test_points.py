"""Every named point of the code has a test that kills a process there.

The points in the order in which work meets them, and who is killed at each (T: tests/faults, D: tests/db):

=======================  ===========================================  ====================================
point                    where work stands                            killed by
=======================  ===========================================  ====================================
fetch.after              files of a scene lie here                    T/test_sources, D/test_source_kills
ingest.before_commit     a scene is stored, not committed             T/test_sources, D/test_source_kills
ingest.after_commit      ... and committed                            T/test_sources, D/test_source_kills
infer.windows            between two windows of a block               T/test_kills, T/test_network (cut)
stage.before_commit      a block is staged, not committed             T/test_kills
stage.after_commit       ... and committed                            T/test_kills
publish.writing          polygons are written, probabilities not      T/test_kills, T/test_network (cut)
publish.before_commit    all is written, not committed                T/test_kills, T/test_network (cut)
publish.after_commit     ... and committed                            T/test_kills
job.before_done          a job is done, the queue does not know it    T/test_kills, T/test_sources
prospect.publishing      a search is done, nothing is written         D/test_prospect_runs
prospect.writing         its run and cells are written, raster not    D/test_prospect_runs
prospect.before_commit   all is written, not committed                D/test_prospect_runs
report.before_rename     files of a report are written, not in place  T/test_sources, D/test_source_kills
campaign.before_report   an actor's work is committed, not reported   T/test_campaign
=======================  ===========================================  ====================================
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import REPOSITORY

HERE = Path(__file__).parent
PACKAGES = ("db", "ingest", "inference", "reporting", "service", "demo")

KILLS = {
    "fetch.after": ("test_sources", "test_a_kill_while_scenes_are_taken_in"),
    "ingest.before_commit": ("test_sources", "test_a_kill_while_scenes_are_taken_in"),
    "ingest.after_commit": ("test_sources", "test_a_kill_while_scenes_are_taken_in"),
    "infer.windows": ("test_kills", "test_a_kill_at_each_point"),
    "stage.before_commit": ("test_kills", "test_a_kill_at_each_point"),
    "stage.after_commit": ("test_kills", "test_a_kill_at_each_point"),
    "publish.writing": ("test_kills", "test_a_kill_at_each_point"),
    "publish.before_commit": ("test_kills", "test_a_kill_at_each_point"),
    "publish.after_commit": ("test_kills", "test_a_kill_at_each_point"),
    "job.before_done": ("test_kills", "test_a_kill_at_each_point"),
    "prospect.publishing": ("../db/test_prospect_runs", "test_a_killed_search_leaves_nothing"),
    "prospect.writing": ("../db/test_prospect_runs", "test_a_killed_search_leaves_nothing"),
    "prospect.before_commit": ("../db/test_prospect_runs", "test_a_killed_search_leaves_nothing"),
    "report.before_rename": ("test_sources", "test_a_kill_while_a_report_is_written"),
    "campaign.before_report": ("test_campaign", "test_an_actor_dies_before_it_can_report"),
}


def points_in(file: Path) -> Iterator[str]:
    """Points that a file of the code names; a name that is no literal fails the test."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "reached":
            assert isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}: not a literal name"
            yield node.args[0].value


def struck_in(module: str, test: str) -> set[str]:
    """Points at which a test kills: what its parameter takes, or strings of its text."""
    tree = ast.parse((HERE / f"{module}.py").read_text("utf-8"))
    (function,) = (each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == test)
    taken = [each for each in function.decorator_list if "point" in strings_in(each)]
    names = {each.id for node in taken for each in ast.walk(node) if isinstance(each, ast.Name)}
    lists = [each for each in tree.body if isinstance(each, ast.Assign) and names & names_in(each)]
    return strings_in(*taken, *lists) if taken else strings_in(function)


def strings_in(*nodes: ast.AST) -> set[str]:
    every = (each for node in nodes for each in ast.walk(node))
    return {each.value for each in every if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def names_in(assignment: ast.Assign) -> set[str]:
    return {each.id for each in assignment.targets if isinstance(each, ast.Name)}


def test_no_point_is_without_a_kill() -> None:
    files = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    found = [point for file in files for point in points_in(file)]
    assert sorted(found) == sorted(KILLS)
    assert __doc__ is not None
    assert all(f"\n{point} " in __doc__ for point in KILLS)


@pytest.mark.parametrize("point", KILLS)
def test_the_kill_is_there(point: str) -> None:
    module, test = KILLS[point]
    assert point in struck_in(module, test)
