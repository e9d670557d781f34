"""The Ray cluster of a campaign: connected to, or started on this machine, and what it has room for.

The only module that imports Ray, which is an optional package.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from db.errors import UsageError

# Read by Ray when it is loaded: it reports nothing to its makers, leaves CUDA_VISIBLE_DEVICES alone where no
# GPU is asked for, does not print the errors of calls that nobody waits for, nor its own news of dead actors
# to standard output, where our table goes; they are told by the crew, and stand in Ray's logs.
for _name, _value in (
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"),
    ("RAY_IGNORE_UNHANDLED_ERRORS", "1"),
    ("RAY_DEDUP_LOGS_SKIP_REGEX", "."),
):
    os.environ.setdefault(_name, _value)

ray: Any = importlib.import_module("ray")
"""The package; what is made with it carries no types that a check could follow."""

ANSWER_S = 10.0
_LOCAL_STORE_BYTES = 100_000_000
"""Nothing of a campaign goes through the object store; Ray wants 75 MiB at least."""


@dataclass(frozen=True)
class CrewOptions:
    """What actors a campaign wants.

    Attributes:
        actors: how many; None: as many as the cluster has room for.
        gpus_per_actor: GPUs of each, also a part of one; None: 1 where the cluster has GPUs, else 0.
        cpus_per_actor: cores of each.

    """

    actors: int | None = None
    gpus_per_actor: float | None = None
    cpus_per_actor: int = 1


@contextmanager
def cluster(address: str | None, options: CrewOptions) -> Iterator[None]:
    """Be connected to a Ray cluster.

    Args:
        address: of the cluster, ``auto`` or HOST:PORT; None: one is started on this machine and ended at the
            end.
        options: a cluster on this machine gets at least the cores that they want.

    Raises:
        UsageError: there is no such cluster, or it is of another version.

    """
    common: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "configure_logging": True,
    }
    try:
        if address is None:
            _keep_to_ourselves()
            cores = max(os.cpu_count() or 1, (options.actors or 1) * options.cpus_per_actor)
            ray.init(
                address="local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=_LOCAL_STORE_BYTES,
                **common,
            )
        elif address.startswith("ray://"):
            raise UsageError(
                f"--ray {address}: run the campaign on a machine of the cluster, with --ray auto or with the"
                " HOST:PORT that `ray start` printed there"
            )
        else:
            _require_answer(address)
            ray.init(address=address, **common)
    except (ConnectionError, ray.exceptions.RayError, RuntimeError, ValueError) as error:
        ray.shutdown()
        where = "on this machine" if address is None else f"at {address}"
        said = str(error).strip().split("\n")[0]
        if isinstance(error.__cause__, getattr(ray.exceptions, "AuthenticationError", ())):
            said = (
                "it wants a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file that holds it"
                " unless that is ~/.ray/auth_token"
            )
        raise UsageError(f"no Ray cluster {where}: {said}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """Look whether anybody is there: Ray itself would try for minutes.

    Raises:
        UsageError: HOST:PORT is none, or nobody answers there.

    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--ray {address}: name the cluster as HOST:PORT, or auto for that of this machine")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise UsageError(f"no Ray cluster at {address}: {error.strerror or error}") from error


def _keep_to_ourselves() -> None:
    """Let a cluster on this machine take orders with a token of this campaign only.

    Newer versions of Ray ask for one by themselves. Left alone they write it into the user's home, where it
    holds for every cluster of that user from then on.
    """
    if not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def what_fits(options: CrewOptions, resources: Mapping[str, float]) -> tuple[int, float]:
    """Number of actors, and GPUs of each.

    Raises:
        UsageError: the cluster has no room for so many.

    """
    gpus_in_all, cpus_in_all = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
    gpus = options.gpus_per_actor
    if gpus is None:
        gpus = 1.0 if gpus_in_all >= 1 else 0.0
    room = int(cpus_in_all // options.cpus_per_actor)
    if gpus:
        room = min(room, int(gpus_in_all // gpus))
    count = room if options.actors is None else options.actors
    if count < 1 or count > room:
        wanted = f"{options.cpus_per_actor} cores" + (f" and {gpus:g} GPUs" if gpus else "")
        raise UsageError(
            f"the cluster has {cpus_in_all:g} cores and {gpus_in_all:g} GPUs: room for {room} actors of "
            f"{wanted} each{'' if options.actors is None else f', not for {options.actors}'}; see --actors,"
            " --cpus-per-actor and --gpus-per-actor"
        )
    return count, gpus
