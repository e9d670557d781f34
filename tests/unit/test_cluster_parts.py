"""Parts of the private cluster that need no server."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from db.commands import psql_environment
from db.embedded import PORT, Cluster, installation
from db.embedded.account import account_of
from db.embedded.configuration import GIB, MIB, machine_memory_bytes, server_configuration
from db.embedded.installation import choose_installation, find_installations
from db.embedded.socket_folder import make_socket_folder, socket_folder, verify_socket_folder
from db.errors import UsageError
from db.settings import Settings, default_home
from tests.support import test_data

ME = account_of(os.geteuid())


def settings_of(text: str) -> dict[str, str]:
    lines = [line.partition(" = ") for line in text.splitlines() if not line.startswith("#")]
    return {name: value.strip("'") for name, _, value in lines}


@pytest.mark.parametrize("memory", [256 * MIB, GIB, 16 * GIB, 512 * GIB])
def test_configuration_never_trades_the_data(memory: int):
    settings = settings_of(server_configuration(Path("/run/x"), memory_bytes=memory, disk_bytes=100 * GIB))
    assert [settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")] == [
        "on"
    ] * 4
    assert settings["listen_addresses"] == ""
    assert settings["unix_socket_permissions"] == "0700"
    assert settings["postgis.gdal_enabled_drivers"] == "DISABLE_ALL"
    assert settings["postgis.enable_outdb_rasters"] == "off"
    shared = int(settings["shared_buffers"].removesuffix("MB")) * MIB
    assert shared == max(64 * MIB, min(memory // 4, 2 * GIB))


def test_configuration_quotes_what_the_path_holds():
    text = server_configuration(Path("/a'b\\c"), memory_bytes=GIB, disk_bytes=GIB)
    assert "unix_socket_directories = '/a''b\\\\c'\n" in text


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal:       16777216 kB\nMemFree: 1 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 16 * GIB),
        ({"proc/self/cgroup": "0::/\n"}, 16 * GIB),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 16 * GIB),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{2 * GIB}\n"}, 2 * GIB),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": f"{3 * GIB}\n"}, 3 * GIB),
        (
            {
                "proc/self/cgroup": "5:cpu:/\n4:memory:/box\n0::/\n",
                "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            GIB,
        ),
    ],
)
def test_memory_is_that_of_the_container(files: dict[str, str], expected: int, tmp_path: Path):
    assert machine_memory_bytes(write(tmp_path, MEMINFO | files)) == expected


@pytest.mark.parametrize(
    ("home", "is_short"),
    [
        ("/var/lib/lode", False),
        ("/home/王/lode with space", False),
        ("/" + "x" * 88, False),  # with /run/.s.PGSQL.5432: 107 bytes, the most that fit
        ("/" + "x" * 89, True),
        ("/" + "矿" * 30, True),
        ("/home/a,b", True),
        ("/home/a'b", True),
        ('/home/a"b', True),
        ("/home/a\\b", True),
        ("/home/a\nb", True),
    ],
)
def test_socket_folder_fits_into_an_address(home: str, is_short: bool):
    folder = socket_folder(Path(home), ME)
    assert (folder != Path(home) / "run") == is_short
    assert len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= 107
    assert socket_folder(Path(home + "x"), ME) != folder


def test_socket_folder_is_private_and_made_again(tmp_path: Path):
    folder = tmp_path / "run"
    for _ in range(2):
        make_socket_folder(folder, ME)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_socket_folder_of_somebody_else_is_refused(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    stranger = account_of(ME.uid + 4321)
    with pytest.raises(UsageError, match="must be a folder that belongs to"):
        verify_socket_folder(folder, stranger)


def test_socket_folder_open_to_others_is_refused(tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o711)
    with pytest.raises(UsageError, match="nobody else may"):
        make_socket_folder(folder, ME)


def test_socket_folder_that_is_a_link_is_refused(tmp_path: Path):
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="must be a folder"):
        make_socket_folder(tmp_path / "run", ME)


def test_newest_postgresql_with_postgis_is_chosen():
    chosen = choose_installation(None)
    assert chosen.major >= 15
    assert chosen.extension_version("postgis_raster") is not None
    assert all(chosen.program(name).exists() for name in ("initdb", "pg_ctl", "postgres"))


def test_data_of_a_postgresql_that_is_gone(capfd):
    with pytest.raises(
        UsageError, match=r"made by PostgreSQL 9, .*apt-get install postgresql-9 postgresql-9-postgis-3"
    ):
        choose_installation(9)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, r"postgis is missing; postgis_raster is missing"),
        ({"postgis.control": "default_version = '3.3.2'\n"}, r"\(postgis_raster is missing\)"),
        (
            {
                "postgis.control": "# x\ndefault_version = '3.2.1'\n",
                "postgis_raster.control": "default_version = '3.10.0'\n",
            },
            r"\(postgis 3.2.1 is older than 3.3\)",
        ),
    ],
)
def test_postgis_that_is_not_complete(files: dict[str, str], problem: str, tmp_path: Path):
    folder = write(tmp_path, files)
    newest = max(each.major for each in find_installations())
    with pytest.raises(
        UsageError, match=rf"{problem}.*apt-get install postgresql-{newest} postgresql-{newest}-postgis-3"
    ):
        choose_installation(None, extensions=folder)
    assert choose_installation(None, extensions=folder, with_postgis=False).major == newest


def test_url_of_a_database_with_an_odd_name(tmp_path: Path):
    from psycopg.conninfo import conninfo_to_dict

    cluster = Cluster(tmp_path)
    parts = conninfo_to_dict(cluster.url("mines of 新疆/?&=@"))
    assert parts["dbname"] == "mines of 新疆/?&=@"
    assert parts["host"] == str(cluster.layout.sockets)


def test_test_data_that_is_missing(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("LODE_TEST_DATA", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="LODE_TEST_DATA"):
        test_data("nothing")
    monkeypatch.setenv("CI", "1")
    with pytest.raises(pytest.fail.Exception, match="LODE_TEST_DATA"):
        test_data("nothing")
    (tmp_path / "something").touch()
    assert test_data("something") == tmp_path / "something"


def test_settings_that_are_empty_are_not_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LODE_HOME", "")
    monkeypatch.setenv("LODE_DATABASE", "")
    settings = Settings()
    assert settings.home == default_home()
    assert settings.database == "lode"


def test_settings_do_not_show_a_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LODE_DATABASE_URL", "postgresql://me:s3cret@host/db")
    assert "s3cret" not in repr(Settings())


def test_psql_is_told_by_its_environment():
    outside = {
        "PATH": "/bin",
        "PGHOST": "wrong",
        "PGSERVICE": "wrong",
        "PGOPTIONS": "-c x=y",
        "PGPASSWORD": "old",
    }
    given = psql_environment(
        "postgresql://me:s3%40cret@h:5433/db?sslmode=require&application_name=mine", outside
    )
    assert given == {
        "PATH": "/bin",
        "PGUSER": "me",
        "PGPASSWORD": "s3@cret",
        "PGHOST": "h",
        "PGPORT": "5433",
        "PGDATABASE": "db",
        "PGSSLMODE": "require",
        "PGAPPNAME": "mine",
    }


def test_no_postgresql_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(installation, "_program_folders", lambda: iter([]))
    with pytest.raises(
        UsageError, match=r"15 or newer is needed \(found: none\).*install postgresql postgresql-postgis`"
    ):
        Cluster(tmp_path / "home").ensure_running()
    assert not (tmp_path / "home").exists()


def test_root_without_a_user_to_act_through(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def missing(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwnam", missing)
    with pytest.raises(UsageError, match=r"refuses to run as root .*'postgres'.*install PostgreSQL"):
        Cluster(tmp_path / "home").ensure_running()
