"""The server's configuration: tuned for bulk loading on this machine, never at the price of the data."""

from __future__ import annotations

from pathlib import Path

MIB = 1024**2
GIB = 1024**3
CONFIGURATION_FILE = "lode.conf"
"""Included by postgresql.conf, rewritten at each start."""

PORT = 5432
"""Part of the socket's name only; nothing listens on TCP."""


def server_configuration(
    socket_folder: Path, *, memory_bytes: int, disk_bytes: int, durable: bool = True
) -> str:
    """Write the settings that Lode keeps for its cluster.

    Args:
        socket_folder: where the Unix socket goes.
        memory_bytes: memory that the server may reckon with.
        disk_bytes: size of the disk that holds the data.
        durable: False only for throw-away clusters of tests, which lose their data at a power cut.

    """
    shared = max(min(memory_bytes // 4, 2 * GIB), 64 * MIB)
    settings: dict[str, str] = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(socket_folder),
        "unix_socket_permissions": "0700",
        "fsync": _switch(durable),
        "synchronous_commit": _switch(durable),
        "full_page_writes": _switch(durable),
        "autovacuum": "on",
        # No replicas: a table that is made and filled in one transaction then needs no WAL of its rows.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": _mebibytes(max(min(disk_bytes // 20, 8 * GIB), GIB)),
        "checkpoint_timeout": "15min",
        "shared_buffers": _mebibytes(shared),
        "effective_cache_size": _mebibytes(max(memory_bytes * 6 // 10, shared)),
        "maintenance_work_mem": _mebibytes(max(min(memory_bytes // 16, GIB), 64 * MIB)),
        "work_mem": _mebibytes(max(min(memory_bytes // 256, 64 * MIB), 8 * MIB)),
        # systemd removes shared memory files of ordinary users when they log out, and containers have
        # little room for them: parallel queries and statistics take theirs from the main segment first.
        "min_dynamic_shared_memory": _mebibytes(max(min(memory_bytes // 64, 256 * MIB), 16 * MIB)),
        # One table per scene: a query over all scenes, or a dump, locks thousands of them.
        "max_locks_per_transaction": "512",
        "random_page_cost": "1.1",
        "effective_io_concurrency": "100",
        "jit": "off",  # compiles for longer than spatial queries run
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d/%a ",
        "cluster_name": "lode",
        # Nothing needs GDAL's drivers or files outside the database within the server.
        "postgis.gdal_enabled_drivers": "DISABLE_ALL",
        "postgis.enable_outdb_rasters": "off",
    }
    header = (
        "# Written by Lode at each start. Put your own settings into postgresql.conf, below the include.\n"
    )
    return header + "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def machine_memory_bytes(root: Path = Path("/")) -> int:
    """Memory of the machine, or of the control group (container) that this process may use.

    Args:
        root: where ``proc`` and ``sys`` are found.

    """
    limits = [4 * GIB]
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemTotal:"):
            limits = [int(line.split()[1]) * 1024]
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        # A limit of any enclosing group holds as well.
        for folder in (group, *group.parents):
            limits += [int(text) for text in _lines(folder / name) if text.isdigit()]
            if folder == base:
                break
    return min(limits)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _switch(value: bool) -> str:
    return "on" if value else "off"


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes // MIB}MB"


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
