"""Remove a test run's cluster when the run ends, however it ends.

Standard input is a pipe whose other end the test run holds: it closes when the run ends, be it by kill -9.
"""

from __future__ import annotations

import shutil
import signal
import sys
from pathlib import Path

from tests.support import throwaway_cluster


def main(home: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the test run
    sys.stdin.read()
    try:
        throwaway_cluster(home).stop()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
