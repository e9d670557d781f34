"""A simulated district in a database, brought in with the commands a user would type."""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from pathlib import Path

import click

from db.connection import connect, database_url
from db.embedded import Cluster
from db.errors import UsageError
from db.scenes import list_scenes
from db.settings import Settings
from db.upgrade import upgrade
from ingest.simulate.district import District, simulate_district


def empty_database(database: str) -> str:
    """URL of an empty, upgraded database: one made anew in the private cluster, or the user's own.

    Args:
        database: name in the private cluster; the commands that follow in this process work in it.

    Raises:
        UsageError: LODE_DATABASE_URL names a database that is in use.

    """
    settings = Settings()
    if settings.database_url:
        url = database_url(settings)
        upgrade(url)
        with connect(url) as conn:
            if list_scenes(conn):
                raise UsageError(
                    "the database of LODE_DATABASE_URL holds scenes already; the demonstration "
                    "works in an empty one: unset LODE_DATABASE_URL, or name another database"
                )
        return url
    cluster = Cluster(settings.home)
    cluster.ensure_running(click.echo)
    return _made_anew(cluster, database)


def kept_district(database: str, *, seed: int, width_px: int, height_px: int) -> str:
    """URL of a database that holds a simulated district with its labels, and nothing else.

    The district is simulated again each time, which takes seconds and gives the same files; what the
    database holds of it already stays as it is, with everything that was trained on it.

    Args:
        database: name in the private cluster, where LODE_DATABASE_URL names no other; made anew when it holds
            another district. The commands that follow in this process work in it.
        seed: of the district.
        width_px: of the district, pixels of 2 m.
        height_px: of the district, pixels of 2 m.

    Raises:
        UsageError: the database of LODE_DATABASE_URL holds other scenes.

    """
    settings = Settings()
    click.echo(f"simulating {width_px * 2 / 1000:.1f} x {height_px * 2 / 1000:.1f} km of a mining district")
    with tempfile.TemporaryDirectory(prefix="lode-district-") as folder:
        district = simulate_district(Path(folder), seed=seed, width_px=width_px, height_px=height_px)
        if settings.database_url:
            url = database_url(settings)
            upgrade(url)
            if _holds_other_scenes(url, district):
                raise UsageError(
                    "the database of LODE_DATABASE_URL holds other scenes than the simulated district: name "
                    "an empty database, unset LODE_DATABASE_URL, or choose scenes of yours with --scene"
                )
        else:
            cluster = Cluster(settings.home)
            cluster.ensure_running(click.echo)
            is_new = cluster.create_database(database)
            os.environ["LODE_DATABASE"] = database
            url = cluster.url(database)
            upgrade(url)
            if not is_new and _holds_other_scenes(url, district):
                click.echo(f"database {database} holds another district and is made anew")
                _made_anew(cluster, database)
        # each command knows a file that it has read before: what was half brought in is completed
        ingest_district(district)
    return url


def ingest_district(district: District) -> None:
    """Bring scenes, mines, labels and geology of a district into the database of this process."""
    for scene in district.scenes:
        clouds = ["--clouds", str(scene.clouds)] if scene.clouds else []
        run_lode(
            "ingest", "scene", str(scene.path), "--sensor", scene.sensor,
            "--acquired-on", scene.acquired_on.isoformat(), "--product", scene.product, *clouds,
        )  # fmt: skip
    run_lode("ingest", "mines", str(district.mines), "--licence-boundaries", str(district.licences))
    run_lode("ingest", "labels", str(district.labels))
    run_lode("ingest", "faults", str(district.faults))
    run_lode("ingest", "plutons", str(district.plutons))
    run_lode("ingest", "deposits", str(district.deposits))


def run_lode(*arguments: str) -> None:
    """Run a command of ours in this process, and show it as it would be typed."""
    from lode import cli

    click.secho(f"$ lode {shlex.join(arguments)}", bold=True)
    cli.main(list(arguments), prog_name="lode", standalone_mode=False)


def _made_anew(cluster: Cluster, database: str) -> str:
    cluster.drop_database(database)
    cluster.create_database(database)
    os.environ["LODE_DATABASE"] = database
    url = cluster.url(database)
    upgrade(url)
    return url


def _holds_other_scenes(url: str, district: District) -> bool:
    """Whether a current scene of the database is none of the district's, by name or content."""
    contents = {scene.product: _sha256(scene.path) for scene in district.scenes}
    with connect(url) as conn:
        return any(contents.get(scene.product) != scene.sha256 for scene in list_scenes(conn))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
