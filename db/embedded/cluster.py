"""The private PostgreSQL cluster: made, started, stopped and described."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from db.embedded.account import prepare_home
from db.embedded.configuration import PORT, machine_memory_bytes, server_configuration
from db.embedded.creation import SUPERUSER, make_cluster
from db.embedded.installation import Installation, choose_installation
from db.embedded.layout import Layout
from db.embedded.lock import locked
from db.embedded.postmaster import find_postmaster
from db.embedded.server import start_server, stop_server
from db.embedded.socket_folder import verify_socket_folder
from db.embedded.status import ClusterStatus, DatabaseSize, ServerFacts
from db.errors import RetryError, UsageError

LONGEST_NAME_BYTES = 63
"""PostgreSQL cuts longer names off without a word."""

Report = Callable[[str], None]


def silent(_line: str) -> None:
    """Take a line of progress and drop it."""


class Cluster:
    """A PostgreSQL cluster of one user's own, reached through a Unix socket only.

    Its home holds ``data`` (with a marker file that proves that Lode made it), ``run`` (the socket),
    ``server.log`` and ``lock``. Everyone who may enter the socket's folder, which is the user alone, is
    trusted as any role. For root the cluster belongs to the user ``postgres``.

    Args:
        home: folder of the cluster; made when it is missing.
        durable: False gives up safety at a power cut for speed: for throw-away clusters of tests only.
        memory_bytes: memory to reckon with, by default that of the machine or container.
        extensions: folder of the extensions' control files instead of PostgreSQL's own.
        least_free_bytes: room that a new cluster asks for.
        start_timeout_s: seconds to wait for a start; recovery after a crash may take minutes.

    """

    def __init__(
        self,
        home: Path,
        *,
        durable: bool = True,
        memory_bytes: int | None = None,
        extensions: Path | None = None,
        least_free_bytes: int = 512 * 1024**2,
        start_timeout_s: int = 300,
    ) -> None:
        self.home = Path(os.path.realpath(home.expanduser()))
        self._durable = durable
        self._memory_bytes = memory_bytes
        self._extensions = extensions
        self._least_free_bytes = least_free_bytes
        self._start_timeout_s = start_timeout_s

    @property
    def layout(self) -> Layout:
        """Where its parts lie, and whose they are."""
        return Layout.of(self.home)

    def url(self, database: str) -> str:
        """Libpq URL of a database, over the socket; works whether or not the server runs.

        Raises:
            UsageError: somebody else owns the socket's folder.

        """
        layout = self.layout
        verify_socket_folder(layout.sockets, layout.account)
        name, folder = quote(database, safe=""), quote(str(layout.sockets))
        return f"postgresql://{SUPERUSER}@/{name}?host={folder}&port={PORT}"

    def installation(self) -> Installation:
        """The PostgreSQL that runs, or would run, the cluster.

        Raises:
            UsageError: PostgreSQL or PostGIS is missing.

        """
        return choose_installation(self.layout.data_major(), extensions=self._extensions)

    def is_running(self) -> bool:
        """Whether the server runs and takes connections."""
        layout = self.layout
        if not layout.is_made:
            return False
        postmaster = find_postmaster(layout.data, layout.account)
        return postmaster is not None and postmaster.state == "ready"

    def ensure_running(self, report: Report = silent) -> None:
        """Make the cluster when there is none, start it when it is down, and wait until it is ready.

        Safe to call twice, from two shells at once, after a crash and after a reboot.

        Raises:
            UsageError: what is in the way (no PostgreSQL, no PostGIS, no room, a folder that Lode did not
                make, a failed start) and what to do about it.

        """
        layout = self.layout
        layout.refuse_foreign()
        if self.is_running():
            return
        installation = self.installation()
        prepare_home(self.home, layout.account)
        with self._locked(layout, report) as lock:
            layout.refuse_foreign()
            if not layout.is_made:
                make_cluster(
                    layout,
                    installation,
                    lock=lock,
                    durable=self._durable,
                    least_free_bytes=self._least_free_bytes,
                    report=report,
                )
            configuration = server_configuration(
                layout.sockets,
                memory_bytes=self._memory_bytes or machine_memory_bytes(),
                disk_bytes=layout.disk_bytes(),
                durable=self._durable,
            )
            start_server(layout, installation, configuration, timeout_s=self._start_timeout_s, report=report)

    def stop(self) -> bool:
        """Stop the server; open transactions are rolled back.

        Returns:
            Whether a server was running.

        Raises:
            UsageError: it does not stop.

        """
        layout = self.layout
        layout.refuse_foreign()
        if not layout.is_made:
            return False
        with self._locked(layout, silent):
            # PostGIS may have been removed meanwhile; stopping does not need it.
            return stop_server(layout, choose_installation(layout.data_major(), with_postgis=False))

    def create_database(self, name: str, *, template: str = "template1") -> bool:
        """Create a database of the running cluster unless it exists.

        Returns:
            Whether it was created.

        Raises:
            UsageError: the name cannot be one.

        """
        size = len(name.encode())
        if not 0 < size <= LONGEST_NAME_BYTES or "\0" in name:
            raise UsageError(
                f"the name of a database has 1 to {LONGEST_NAME_BYTES} bytes: got {name!r} with {size}"
            )
        statement = sql.SQL("create database {} template {}")
        with self._maintenance() as conn:
            if conn.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
                return False
            try:
                conn.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
            except (errors.DuplicateDatabase, errors.UniqueViolation):  # another shell was quicker
                return False
        return True

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and end the sessions that use it."""
        statement = sql.SQL("drop database if exists {} with (force)")
        with self._maintenance() as conn:
            conn.execute(statement.format(sql.Identifier(name)))

    def status(self) -> ClusterStatus:
        """Describe the cluster; nothing is started or changed.

        Raises:
            UsageError: the folder is not a cluster of Lode's, or belongs to another user.

        """
        layout = self.layout
        layout.refuse_foreign()
        is_made = layout.is_made
        postmaster = find_postmaster(layout.data, layout.account) if is_made else None
        state = postmaster.state if postmaster else ("stopped" if is_made else "not made yet")
        return ClusterStatus(
            state=state,
            account=layout.account.name,
            home=self.home,
            data=layout.data,
            log=layout.log,
            sockets=layout.sockets,
            pid=postmaster.pid if postmaster else None,
            data_bytes=layout.data_bytes() if is_made else 0,
            free_bytes=layout.free_bytes(),
            server=self._server_facts() if state == "ready" else None,
        )

    def _server_facts(self) -> ServerFacts:
        with self._maintenance() as conn:
            (version,) = conn.execute("select current_setting('server_version')").fetchone() or ("",)
            postgis = conn.execute(
                "select default_version from pg_available_extensions where name = 'postgis'"
            ).fetchone()
            databases = conn.execute(
                "select datname, pg_database_size(oid) from pg_database"
                " where not datistemplate order by datname"
            ).fetchall()
        sizes = tuple(DatabaseSize(name, size) for name, size in databases)
        return ServerFacts(version.split()[0], postgis[0] if postgis else None, sizes)

    @contextmanager
    def _locked(self, layout: Layout, report: Report) -> Iterator[int]:
        with locked(layout.home / "lock", layout.account, report, self._start_timeout_s) as descriptor:
            yield descriptor

    @contextmanager
    def _maintenance(self) -> Iterator[psycopg.Connection[TupleRow]]:
        try:
            conn = psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=30)
        except psycopg.OperationalError as error:  # it recovers from a crash of one of its processes
            raise RetryError(f"the private server takes no connection now: {error}") from error
        with conn:
            yield conn
