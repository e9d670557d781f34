"""docs/operations.md and deploy/: what they say can be done is done here."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from psycopg import Connection

from db.checks import CHECKS, run_checks
from db.commands import psql_environment
from db.connection import connect
from db.embedded import Cluster
from db.qgis.styles import install_styles
from db.upgrade import upgrade
from service.metrics import DatabaseCollector, WorkerMetrics
from tests.catalogue_rows import add_mine, add_model, add_scene, publish_drawing
from tests.conftest import copied_database
from tests.grids import cells
from tests.rasters import noise, write_table
from tests.role_logins import login
from tests.support import REPOSITORY, throwaway_cluster

DOCUMENT = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
UNITS = sorted((REPOSITORY / "deploy" / "systemd").iterdir())
SCRIPT = REPOSITORY / "deploy" / "lode-backup"
LODE = Path(shutil.which("lode") or REPOSITORY / ".venv" / "bin" / "lode").parent


def block(title: str) -> str:
    """A tried block of the document, as it stands there."""
    found = re.findall(rf"^```sh\n# tried: {title}\n(.*?)^```", DOCUMENT, flags=re.M | re.S)
    assert len(found) == 1
    return str(found[0])


def libpq(cluster: Cluster, database: str) -> dict[str, str]:
    """PostgreSQL's own variables for a database, as an operator exports them."""
    environment = psql_environment(cluster.url(database), os.environ)
    return {**environment, "PATH": f"{LODE}:{environment['PATH']}"}


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A script as a careful operator types it: the first failure ends it."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**environment, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.fixture(scope="module")
def filled(cluster: Cluster, template_database: str) -> Iterator[str]:
    """Name of a small published database, and the role that backs it up, made by the document's SQL."""
    with copied_database(cluster, template_database) as url:
        with connect(url) as conn:
            scene = add_scene(conn, "one", date(2022, 6, 1), cells("xx", "x"))
            write_table(conn, noise("uint16", 4, 70, 90), owner_id=scene, nodata=0, table="drawn_one")
            add_mine(conn, "M1", cells("xx", "x"))
            publish_drawing(conn, scene, add_model(conn, "net"), 2022, "pd")
            [statements] = re.findall(r"^```sql\n(create role lode_backup.*?)^```", DOCUMENT, re.M | re.S)
            conn.execute(statements.encode())
            conn.commit()
            name = conn.info.dbname
        try:
            yield name
        finally:
            with connect(url, autocommit=True) as conn:
                conn.execute("drop role lode_backup")


def test_the_documents_installation_ends_with_a_login_for_workers(home: Path, tmp_path: Path) -> None:
    """On a server that has nothing of Lode yet, by its superuser."""
    cluster = throwaway_cluster(home)
    cluster.ensure_running()
    sudo = tmp_path / "sudo"
    sudo.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')  # the test's superuser has another name
    sudo.chmod(0o755)
    environment = libpq(cluster, "postgres")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("installing").replace("/opt/lode/bin/", "")],
        env={**environment, "PATH": f"{tmp_path}:{environment['PATH']}", "LC_ALL": "C.UTF-8"},
        input="geheim-9\ngeheim-9\n", capture_output=True, text=True, check=False, timeout=200,
        start_new_session=True,  # without a terminal psql reads the password from its input
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout
    with connect(cluster.url("lode")) as conn:
        row = conn.execute(
            "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = 'lode_worker'"
        ).fetchone()
    assert row == (True,)


def test_the_documents_back_up_comes_back_on_another_server(
    cluster: Cluster, filled: str, home: Path, tmp_path: Path
) -> None:
    """As the role that may only read, then on a server that has none of the roles."""
    folder = tmp_path / "backups"
    text = block("back-up").replace("/opt/lode/share/deploy/lode-backup", str(SCRIPT))
    text = text.replace("/var/backups/lode", str(folder)).replace("PGDATABASE=lode", f"PGDATABASE={filled}")
    done = run(text, libpq(cluster, filled))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    [made] = [path for path in folder.iterdir() if path.is_dir()]
    assert done.stdout.startswith(f"{made}: ")
    assert "lode_worker" in (made / "roles.sql").read_text()
    assert "PASSWORD" not in (made / "roles.sql").read_text()
    assert {path.stat().st_mode & 0o077 for path in made.rglob("*")} == {0}

    other = throwaway_cluster(home)
    other.ensure_running()
    with connect(other.url("postgres"), autocommit=True) as conn:
        conn.execute("drop role if exists lode_backup")
    text = re.sub(r"^backup=.*$", f"backup={made}", block("restore"), flags=re.M)
    text = text.replace("export PGUSER=postgres", "")  # the test's superuser has another name
    done = run(text, libpq(other, "postgres"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert not [line for line in done.stderr.splitlines() if "already exists" not in line], done.stderr

    counts = "select (select count(*) from lode.landcover), (select sum(area_m2) from lode.mine_area)"
    owners = (
        "select distinct c.relowner::regrole::text from pg_class c"
        " where c.relnamespace::regnamespace::text in ('lode', 'lode_api') order by 1"
    )
    with connect(other.url("lode_restored")) as copy, connect(cluster.url(filled)) as source:
        for query in (counts, owners):
            assert copy.execute(query).fetchall() == source.execute(query).fetchall()
        statistics = copy.execute("select count(*) > 0 from pg_stats where schemaname = 'lode'").fetchone()
        assert statistics == (True,)


@pytest.fixture
def checker(cluster: Cluster, filled: str) -> Iterator[Connection[Any]]:
    """The login that the document makes for checks."""
    url = cluster.url(filled)
    [statement] = re.findall(r"^```sql\n(create role lode_check.*?)^```", DOCUMENT, re.M | re.S)
    with connect(url, autocommit=True) as conn:
        conn.execute(statement.encode())
        install_styles(conn)
    try:
        with login(url, "lode_check", autocommit=False) as conn:
            yield conn
    finally:
        with connect(url, autocommit=True) as conn:
            conn.execute("drop role lode_check")


def test_the_documents_login_for_checks_sees_all_and_writes_nothing(
    cluster: Cluster, filled: str, checker: Connection[Any]
) -> None:
    found = run_checks(checker)
    assert [(result.title, result.unseen) for result in found if result.unseen] == []
    with connect(cluster.url(filled)) as conn:
        assert [result.faults for result in found] == [result.faults for result in run_checks(conn)]
        tables = conn.execute(
            "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p', 'v')"
            " and c.relnamespace::regnamespace::text in ('lode', 'lode_api', 'lode_queue', 'lode_raster')"
            " and (has_table_privilege('lode_check', c.oid, 'insert,update,delete,truncate')"
            "  or has_any_column_privilege('lode_check', c.oid, 'insert,update'))"
        ).fetchall()
    assert tables == []


def test_a_worker_finds_the_styles(cluster: Cluster, filled: str, checker: Connection[Any]) -> None:
    assert checker.info.user == "lode_check"  # who checks, after styles were written and an upgrade
    upgrade(cluster.url(filled))
    with login(cluster.url(filled), "lode_worker", autocommit=False) as worker:
        [found] = [result for result in run_checks(worker) if "QGIS" in result.title]
    assert (found.faults, found.unseen) == ([], [])


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_documents_filters_of_logs_pass_over_other_lines() -> None:
    """The journal has systemd's own lines between those of workers."""
    filters = re.findall(r"^    journalctl .*?\| (jq .*)$", DOCUMENT, re.M)
    assert len(filters) == 2
    lines = [
        "Started lode-worker@cpu.service - Lode worker on cpu.",
        json.dumps({"timestamp": "t", "event": "failed", "level": "error", "run_id": 4711, "reason": "r"}),
        "lode-worker@cpu.service: Consumed 3s CPU time.",
        json.dumps({"timestamp": "u", "event": "other", "level": "info", "run_id": 12}),
        json.dumps({"timestamp": "v", "event": "again", "level": "info", "run_id": 4711}),
    ]
    told = [
        subprocess.run(
            ["bash", "-c", each], input="\n".join(lines), capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for each in filters
    ]
    assert [json.loads(line) for line in told[0]] == [json.loads(lines[1]), json.loads(lines[4])]
    assert told[1] == ["t\tfailed\tr"]


def test_a_parallel_restore_in_one_go_is_found(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    """Why the document restores section by section: pg_restore would rewrite the raster tables."""
    cluster.create_database("lode_test_parallel")
    try:
        script = (
            f"pg_dump --format=directory --file={tmp_path}/d; "
            f"pg_restore --dbname=lode_test_parallel --jobs=2 {tmp_path}/d"
        )
        done = run(script, libpq(cluster, filled))
        assert done.returncode == 0, done.stderr
        with connect(cluster.url("lode_test_parallel")) as conn:
            found = {result.title: result.faults for result in run_checks(conn)}
    finally:
        cluster.drop_database("lode_test_parallel")
    faults = found["Every raster table has its key, index and constraints"]
    assert [fault.split(":")[0] for fault in faults] == ["drawn_one", "o_2_drawn_one"]
    assert all("it was rewritten" in fault for fault in faults)


def test_a_rewritten_table_is_mended(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    """With its data, its place among the tiles of scenes, its owner and its grants."""
    title = "Every raster table has its key, index and constraints"
    facts = (
        "select md5(string_agg(rid || st_astext(st_envelope(rast)) || md5(st_asbinary(rast)), ''"
        " order by rid)),"
        " (select string_agg(a::text, ' ' order by a::text) || min(relowner::regrole::text)"
        " from pg_class, unnest(relacl) a where relname = 'drawn_one'),"
        " (select count(*) from lode_raster.scene_tile where scene_id = 1) from lode_raster.drawn_one"
    )
    with copied_database(cluster, filled) as url:
        with connect(url, autocommit=True) as conn:
            before = conn.execute(facts).fetchone()
            for table in ("drawn_one", "o_2_drawn_one"):
                conn.execute(f"vacuum full lode_raster.{table}")
            name = conn.info.dbname
        for table in ("drawn_one", "o_2_drawn_one"):
            text = block("rewritten table").replace("PGUSER=postgres", "LODE=1")
            text = text.replace("PGDATABASE=lode", f"PGDATABASE={name}").replace("scene_17", table)
            text = text.replace("/srv/table.dump", f"{tmp_path}/table.dump")
            done = run(text, libpq(cluster, name))
            assert (done.returncode, done.stderr) == (0, "")
        with connect(url) as conn:
            faults = {result.title: result.faults for result in run_checks(conn)}
            assert faults[title] == []
            assert faults["Every scene, layer and search has its tiles"] == []
            assert conn.execute(facts).fetchone() == before


def test_old_back_ups_go_when_a_new_one_is_whole(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    for name in ("2020-01-01T000000Z", "2020-01-02T000000Z", "2020-01-03T000000Z", "mine", "x.part"):
        (tmp_path / name).mkdir()
    done = run(f"{SCRIPT} {tmp_path} 2", libpq(cluster, filled))
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_dir())
    assert names[0] == "2020-01-03T000000Z"
    assert names[1].startswith("20")
    assert names[2:] == ["mine"]


def test_a_back_up_that_fails_leaves_the_old_ones(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    (tmp_path / "2020-01-01T000000Z").mkdir()
    done = run(f"{SCRIPT} {tmp_path} 1", {**libpq(cluster, filled), "PGDATABASE": "nowhere"})
    assert done.returncode != 0
    assert "nowhere" in done.stderr
    done = run(f"{SCRIPT} {tmp_path} 1", {**libpq(cluster, filled), "PGUSER": "lode_reader"})
    assert done.returncode != 0, "a role that may not read all makes no half back-up"
    whole = [path.name for path in tmp_path.iterdir() if path.is_dir() and path.suffix != ".part"]
    assert whole == ["2020-01-01T000000Z"]
    done = run(f"{SCRIPT} {tmp_path} none", libpq(cluster, filled))
    assert (done.returncode, done.stderr) == (1, "lode-backup: KEEP is a number from 1, got none\n")


def test_two_back_ups_into_one_folder_are_refused(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        ["flock", str(tmp_path / ".lock"), "sh", "-c", "echo held; cat"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        done = run(f"{SCRIPT} {tmp_path}", libpq(cluster, filled))
        assert holder.stdin is not None
        holder.stdin.close()
    assert done.returncode == 1
    assert "another back-up" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_understands_the_units(unit: Path, tmp_path: Path) -> None:
    """With programs and files that are there: whether they are is the server's matter."""
    for each in UNITS:
        text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", each.read_text(), flags=re.M)
        (tmp_path / each.name.replace("@", "@cpu")).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name.replace("@", "@cpu"))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (0, ""), done.stderr


def test_the_worker_has_time_to_stop() -> None:
    from service.commands import worker
    from service.job_runner import RELEASE_S

    [unit] = [path.read_text() for path in UNITS if path.name == "lode-worker@.service"]
    found = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    assert found is not None
    [grace] = [option for option in worker.params if option.name == "grace_s"]
    assert int(found.group(1)) >= grace.default + RELEASE_S + 10
    assert "KillMode=mixed" in unit
    options = {name for option in worker.params for name in option.opts}
    assert set(re.findall(r"lode worker (--[\w-]+)", unit)) <= options


def test_every_check_and_every_metric_is_in_the_document(database_url: str) -> None:
    for check in CHECKS:
        assert f"| {check.title} |" in DOCUMENT
    worker = WorkerMetrics("north")
    worker.registry.register(DatabaseCollector(database_url))
    worker.job_ended("interpret_run", "done", 1.0)
    exposed = set(re.findall(r"^# TYPE (lode_\w+)", generate_latest(worker.registry).decode(), re.M))
    exposed = {name for name in exposed if not name.endswith("_created")}
    named = set(re.findall(r"\blode_(?:jobs|runs|oldest|workers?|staged|database_up)\w*", DOCUMENT))
    named -= {"lode_worker", "lode_workers"}  # the role
    assert named - exposed == set()
    assert exposed - named <= {"lode_worker_info"}


def test_the_document_names_what_exists() -> None:
    for path in re.findall(r"\]\((\w[\w./-]*\.md)", DOCUMENT):
        assert (REPOSITORY / "docs" / path).exists(), path
    for variable in set(re.findall(r"\bLODE_[A-Z_]+", DOCUMENT)) - {"LODE_WORKER_OPTIONS"}:
        sources = [*(REPOSITORY / "db").rglob("*.py"), *(REPOSITORY / "service").rglob("*.py")]
        prefix = variable.removeprefix("LODE_").lower()
        assert any(variable in text or f"{prefix}:" in text for text in map(Path.read_text, sources)), (
            variable
        )


def test_a_dump_waits_for_nobody_and_holds_nobody(cluster: Cluster, filled: str, tmp_path: Path) -> None:
    """A publication that is under way neither stops the dump nor is in it."""
    with connect(cluster.url(filled)) as conn:
        conn.execute("update lode.mine set name = 'not yet' where code = 'M1'")
        begun = time.monotonic()
        done = run(f"{SCRIPT} {tmp_path}", libpq(cluster, filled))
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - begun < 60
        conn.rollback()
    [made] = [path for path in tmp_path.iterdir() if path.is_dir()]
    text = subprocess.run(
        ["pg_restore", "--file=-", "--data-only", "--schema=lode", "--table=mine", str(made / "database")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "mine M1" in text
    assert "not yet" not in text
