"""Mapped geology and known deposits near the ground that is searched, in the plane of its grid."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import shapely
from psycopg import Connection

from db.errors import RetryError, UsageError
from db.geology_near import NearFeatures, features_near
from db.prospect_sets import read_deposits
from db.raster import Grid
from inference.prospect.deposits import projected
from inference.prospect.targets import Target, nearest


@dataclass(frozen=True)
class Nearby:
    """What targets are measured against; geometries in the CRS of the grid.

    Attributes:
        faults, plutons: all that can be the nearest to a place on the grid, also beyond its edge; empty where
            none are mapped.
        deposits: known deposits, the body where it is mapped and the point elsewhere.
        deposit_ids: their keys.
        geology_digest: SHA-256 of the faults and plutons as they are stored; deposits do not count.

    """

    faults: tuple[shapely.Geometry, ...]
    plutons: tuple[shapely.Geometry, ...]
    deposits: tuple[shapely.Geometry, ...]
    deposit_ids: tuple[int, ...]
    geology_digest: str


@dataclass(frozen=True)
class Distances:
    """How far a target lies from what is known, m, 0 where it touches it; None where nothing is."""

    fault_m: float | None
    pluton_m: float | None
    deposit_m: float | None
    deposit_id: int | None


def read_nearby(
    conn: Connection[Any], grid: Grid, report: Callable[[str], None], *, with_deposits: bool = True
) -> Nearby:
    """What lies near a grid in metres.

    Where no faults or no plutons are mapped, or cannot be brought into its CRS, the report says so and there
    are none. Without deposits they are added later, see `add_deposits`.
    """
    near = {kind: _features_near(conn, kind, grid, report) for kind in ("faults", "plutons")}
    digests = {kind: features.digests for kind, features in near.items()}
    geology = Nearby(
        near["faults"].shapes,
        near["plutons"].shapes,
        (),
        (),
        hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest(),
    )
    return add_deposits(conn, geology, grid) if with_deposits else geology


def add_deposits(conn: Connection[Any], nearby: Nearby, grid: Grid) -> Nearby:
    """The same with the known deposits, but for those that the projection of the grid does not reach."""
    deposits = read_deposits(conn)
    placed = [
        (geometry, deposit.deposit_id)
        for geometry, deposit in zip(projected(deposits, grid.srid), deposits, strict=True)
        if geometry is not None
    ]
    return replace(
        nearby,
        deposits=tuple(geometry for geometry, _ in placed),
        deposit_ids=tuple(key for _, key in placed),
    )


def _features_near(
    conn: Connection[Any], kind: str, grid: Grid, report: Callable[[str], None]
) -> NearFeatures:
    try:
        return features_near(conn, kind, grid)
    except RetryError:
        raise
    except UsageError as error:  # the network may do without; one that does not was refused before
        report(f"distances of targets to {kind} are not told: {error}")
        return NearFeatures((), ())


def distances_to(targets: tuple[Target, ...], nearby: Nearby) -> list[Distances]:
    """How far each target lies from the nearest fault, pluton and known deposit."""
    faults = nearest(targets, nearby.faults)
    plutons = nearest(targets, nearby.plutons)
    deposits = nearest(targets, nearby.deposits)
    return [
        Distances(
            None if fault is None else fault[0],
            None if pluton is None else pluton[0],
            None if deposit is None else deposit[0],
            None if deposit is None else nearby.deposit_ids[deposit[1]],
        )
        for fault, pluton, deposit in zip(faults, plutons, deposits, strict=True)
    ]
