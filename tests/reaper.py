"""Stop and remove a test run's clusters when the run ends, however it ends.

Standard input is a pipe whose other end the test run holds: it closes when the run ends, be it by kill -9.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from db.embedded.layout import MARKER
from db.errors import UsageError
from tests.support import throwaway_cluster


def main(folder: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the test run
    sys.stdin.read()
    try:
        for marker in folder.rglob(f"data/{MARKER}"):
            with suppress(UsageError):  # a test's counterfeit
                cluster = throwaway_cluster(marker.parents[1])
                cluster.stop()
                shutil.rmtree(
                    cluster.layout.sockets, ignore_errors=True
                )  # outside the folder where it is long
    finally:
        for place in folder.glob("*"):
            if place.is_mount():
                subprocess.run(["umount", "-l", place], check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
