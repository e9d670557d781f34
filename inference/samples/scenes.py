"""Scenes that share ground, and so are held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from psycopg import Connection
from psycopg.rows import TupleRow
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from db.samples import near_scenes
from db.scenes import Scene
from inference.samples.pieces import BY_SCENE


def scene_groups(conn: Connection[TupleRow], scenes: Sequence[Scene], gap_m: float) -> list[str]:
    """Name of the group of each scene: all that hang together by overlap or by less than the gap.

    Two scenes that do not overlap are still of one group where a third one overlaps both.

    Args:
        conn: connection.
        scenes: of the set, in any CRS.
        gap_m: valid pixels nearer to each other than this belong together, m; geodesic.

    """
    place = {scene.scene_id: number for number, scene in enumerate(scenes)}
    pairs = near_scenes(conn, list(place), gap_m)
    first = [place[a] for a, _b in pairs]
    second = [place[b] for _a, b in pairs]
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(len(scenes), len(scenes)))
    _count, groups = connected_components(graph, directed=False)
    members: dict[int, list[str]] = {}
    for scene, group in zip(scenes, groups.tolist(), strict=True):
        members.setdefault(group, []).append(scene.product)
    return [_name(members[group]) for group in groups.tolist()]


def _name(products: list[str]) -> str:
    more = f" and {len(products) - 1} more" if len(products) > 1 else ""
    return f"{BY_SCENE}{min(products)}{more}"
