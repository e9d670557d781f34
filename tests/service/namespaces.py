"""Machines of a test: network namespaces with addresses and host names of their own, around one server.

Everything lies in namespaces that this process made, the bridge too: nothing on the machine's own network is
changed, and the addresses (198.18.0.0/15, RFC 2544, for benchmarks of networks) can collide with nothing.
What a killed run left behind is removed by the next one.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from psycopg import sql

from db.connection import connect
from db.embedded import Cluster
from db.embedded.configuration import PORT
from tests.support import REPOSITORY, reaped_home, throwaway_cluster

PREFIX = "lode-test"
SUBNET = ipaddress.ip_network("198.18.0.0/24")
SERVER = str(SUBNET[1])
_BRIDGE, _UPLINK = "bridge", "uplink"
_NOWHERE = "nowhere"
"""A bridge that is down: its ports are dead, and do not know it."""
_BRIDGE_MAC = "02:00:c6:12:00:01"
"""Its own, lest the bridge take another when a port leaves, and the others look for the old one."""


@dataclass(frozen=True)
class Machine:
    """A namespace with one address.

    Attributes:
        namespace: its name.
        host: its host name.
        address: IPv4.
        port: name of its end at the bridge.

    """

    namespace: str
    host: str
    address: str
    port: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to start a program by, so that it runs there and does not outlive this process."""
        script = 'hostname "$0" && exec setpriv --pdeathsig KILL -- "$@"'
        return ("ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", script, self.host)


class Network:
    """A bridge in a namespace of its own, where the server runs, and machines on it.

    Attributes:
        hub: namespace of the bridge.
        machines: the others.

    """

    def __init__(self, machines: int) -> None:
        owner = f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}"
        self.hub = f"{owner}-hub"
        self.machines = tuple(
            Machine(f"{owner}-{number}", f"machine-{number}", str(SUBNET[10 + number]), f"port{number}")
            for number in range(1, machines + 1)
        )

    def make(self) -> None:
        """Make the namespaces and connect them."""
        _ip("netns", "add", self.hub)
        _ip("-n", self.hub, "link", "set", "lo", "up")
        _ip("-n", self.hub, "link", "add", _BRIDGE, "address", _BRIDGE_MAC, "type", "bridge")
        _ip("-n", self.hub, "link", "add", _NOWHERE, "type", "bridge")
        _ip("-n", self.hub, "address", "add", f"{SERVER}/{SUBNET.prefixlen}", "dev", _BRIDGE)
        _ip("-n", self.hub, "link", "set", _BRIDGE, "up")
        for machine in self.machines:
            name = machine.namespace
            _ip("netns", "add", name)
            _ip(
                "-n",
                self.hub,
                "link",
                "add",
                machine.port,
                "type",
                "veth",
                "peer",
                "name",
                _UPLINK,
                "netns",
                name,
            )
            _ip("-n", self.hub, "link", "set", machine.port, "master", _BRIDGE, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{machine.address}/{SUBNET.prefixlen}", "dev", _UPLINK)
            _ip("-n", name, "link", "set", _UPLINK, "up")

    def cut(self, machine: Machine) -> None:
        """Lose every packet to and from a machine without a word, as a cable pulled behind a switch does."""
        # A port without a bridge would be a card of the server's own, which hears whatever is sent to it.
        _ip("-n", self.hub, "link", "set", machine.port, "master", _NOWHERE)

    def join(self, machine: Machine) -> None:
        """Connect a machine again."""
        _ip("-n", self.hub, "link", "set", machine.port, "master", _BRIDGE)

    def remove(self) -> None:
        """End what runs in the namespaces, and remove them."""
        for name in (self.hub, *(machine.namespace for machine in self.machines)):
            _remove(name)


def why_not() -> str | None:
    """Why no namespaces can be made here; None: they can."""
    missing = [name for name in ("ip", "unshare", "setpriv") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (packages iproute2, util-linux)"
    trial = f"{PREFIX}-{os.getpid()}-{_started(os.getpid())}-trial"
    steps = (
        ("ip", "netns", "add", trial),
        ("ip", "-n", trial, "link", "add", _BRIDGE, "type", "bridge"),
        ("ip", "-n", trial, "link", "add", "one", "type", "veth", "peer", "name", "two"),
        ("ip", "netns", "exec", trial, "unshare", "--uts", "hostname", "trial"),
    )
    try:
        for step in steps:
            done = subprocess.run(step, check=False, capture_output=True, text=True)
            if done.returncode:
                return f"`{' '.join(step)}` failed: {done.stderr.strip()} (needs root and CAP_NET_ADMIN)"
    finally:
        _remove(trial)
    return None


@contextmanager
def alone() -> Iterator[None]:
    """Sweep, or leave something to be swept, while no other process of this machine's tests does."""
    with (Path(tempfile.gettempdir()) / f"{PREFIX}-sweep.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def sweep() -> list[str]:
    """Remove the namespaces of runs that are gone, while ``alone``; their names."""
    gone = []
    for name in _namespaces():
        owner = re.match(rf"{PREFIX}-(\d+)-(\d+)-", name)
        if owner is not None and _started(int(owner[1])) != int(owner[2]):
            _remove(name)
            gone.append(name)
    return gone


@contextmanager
def network(machines: int) -> Iterator[Network]:
    """A network of so many machines; removed at the end, whatever happens."""
    with alone():
        sweep()
    made = Network(machines)
    try:
        made.make()
        yield made
    finally:
        made.remove()


@contextmanager
def served_cluster(within: Network) -> Iterator[Cluster]:
    """A cluster that machines of a network reach by TCP, with passwords, and this one by its socket."""
    with reaped_home() as home:
        cluster = throwaway_cluster(home)
        cluster.ensure_running()
        cluster.stop()
        layout = cluster.layout
        settings = (layout.data / "postgresql.conf").read_text("utf-8")
        layout.account.write(layout.data / "postgresql.conf", f"{settings}listen_addresses = '{SERVER}'\n")
        rules = f"local all all trust\nhost all all {SUBNET} scram-sha-256\n"
        layout.account.write(layout.data / "pg_hba.conf", rules)
        program = (
            "import sys; from pathlib import Path; from tests.support import throwaway_cluster;"
            " throwaway_cluster(Path(sys.argv[1])).ensure_running()"
        )
        subprocess.run(
            ["ip", "netns", "exec", within.hub, sys.executable, "-c", program, str(cluster.home)],
            cwd=REPOSITORY,
            check=True,
            capture_output=True,
            text=True,
        )
        yield cluster


def worker_url(url: str, role: str = "lode_worker") -> str:
    """URL at the server's address for a role, which gets a password that nobody else knows.

    Args:
        url: of the database, over the socket, as its administrator.
        role: a role that may log in.

    """
    password = secrets.token_urlsafe(12)
    with connect(url, autocommit=True) as conn:
        database = conn.info.dbname
        statement = sql.SQL("alter role {} password {}")
        conn.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
    return f"postgresql://{role}:{quote(password)}@{SERVER}:{PORT}/{quote(database)}"


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _namespaces() -> list[str]:
    lines = _ip("netns", "list").splitlines()
    return [line.split()[0] for line in lines if line.startswith(f"{PREFIX}-")]


def processes_in(name: str) -> list[str]:
    """Numbers of the processes in a namespace."""
    return _ip("netns", "pids", name).split()


def _remove(name: str) -> None:
    """Remove a namespace; what still runs in it is killed."""
    if name not in _namespaces():
        return
    try:
        _empty_and_delete(name)
    except RuntimeError:
        if name in _namespaces():  # else somebody else removed it meanwhile
            raise


def _empty_and_delete(name: str) -> None:
    deadline = time.monotonic() + 30
    while processes := processes_in(name):
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {' '.join(processes)} in {name} do not end")
        time.sleep(0.05)
    _ip("netns", "delete", name)


def _started(pid: int) -> int | None:
    """When a process was started, in clock ticks after the machine was (proc(5)); None: there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return None
    return int(line.rpartition(")")[2].split()[19])
