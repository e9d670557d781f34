"""Write ``catalogue.txt`` anew from the migrations: `python -m tests.db.write_catalogue`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from db.connection import connect
from db.describe import describe_catalogue
from db.upgrade import upgrade
from tests.support import throwaway_cluster


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="lode-catalogue-") as home:
        cluster = throwaway_cluster(Path(home))
        cluster.ensure_running()
        try:
            cluster.create_database("catalogue")
            upgrade(cluster.url("catalogue"))
            with connect(cluster.url("catalogue")) as conn:
                text = "\n".join(describe_catalogue(conn)) + "\n"
        finally:
            cluster.stop()
    Path(__file__).with_name("catalogue.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
