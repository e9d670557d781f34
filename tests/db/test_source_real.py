"""A folder of real Sentinel-2 scenes whose values changed their meaning in between: two sources, by day."""

from __future__ import annotations

from pathlib import Path

from psycopg import Connection

from tests.conftest import RunLode
from tests.support import test_data


def test_scenes_before_and_after_the_offset_come_from_one_folder(
    run_lode: RunLode, conn: Connection[object], tmp_path: Path
) -> None:
    data = test_data("strzegom")
    assert run_lode("ingest", "mines", data / "mines.geojson").returncode == 0
    common = (
        "--kind", "folder", "--location", data / "scenes", "--settle", "0",
        "--option", "sensor=sentinel2_msi", "--option", "scale=0.0001",
    )  # fmt: skip
    for name, offset, days in (
        ("before", "0", ("--to", "2022-01-24")),
        ("after", "-1000", ("--from", "2022-01-25")),
    ):
        done = run_lode("source", "add", name, *common, "--option", f"offset={offset}", *days)
        assert done.returncode == 0, done.stderr
        for _ in range(2):
            done = run_lode("source", "run", name)
            assert done.returncode == 0, done.stderr
    rows = conn.execute(
        "select product, version, acquired_on::text, value_offset from lode.scene order by acquired_on"
    ).fetchall()
    assert rows == [
        ("strzegom_20210619_33u", 1, "2021-06-19", 0.0),
        ("strzegom_20220719_33u", 1, "2022-07-19", -1000.0),
        ("strzegom_20230301_33u", 1, "2023-03-01", -1000.0),
    ]
    states = conn.execute(
        "select source, status, count(*) from lode_api.ingest_item_status group by 1, 2 order by 1, 2"
    ).fetchall()
    assert states == [
        ("after", "ingested", 2),
        ("after", "skipped", 1),
        ("before", "ingested", 1),
        ("before", "skipped", 2),
    ]
