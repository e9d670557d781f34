"""`lode db check`: a list of checks, each with what it found and a hint.

schema     extensions, migrations, lode_api, the queue's schema, indexes
rasters    what GIS clients need of raster tables; tables that nobody knows
work       runs, jobs, staging
derived    areas, sealed samples, styles
server     dead rows, transactions, the disk, the clock
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from db.checks import derived, rasters, schema, server, work
from db.checks.listing import check_lines
from db.checks.result import Check, CheckResult, Limits, run_check

__all__ = ["CHECKS", "CheckResult", "Limits", "check_lines", "run_checks"]

CHECKS: tuple[Check, ...] = (
    *schema.CHECKS,
    *rasters.CHECKS,
    *work.CHECKS,
    *derived.CHECKS,
    *server.CHECKS,
)
_FIRST_CHECKS = 2
"""Those that need none of our tables: extensions and migrations."""


def run_checks(conn: Connection[Any], limits: Limits | None = None) -> list[CheckResult]:
    """Run all checks; those that need the schema are left out while it is missing or old."""
    limits = limits or Limits()
    results = [run_check(conn, check, limits) for check in CHECKS[:_FIRST_CHECKS]]
    if any(result.faults for result in results if "migration" in result.title):
        return results
    return results + [run_check(conn, check, limits) for check in CHECKS[_FIRST_CHECKS:]]
