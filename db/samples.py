"""Sample sets: all SQL about ``lode.sample_set`` and ``lode.sample``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from psycopg import Connection, errors
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from db.errors import UsageError
from db.labels import ewkb_hex
from db.registry import NAME_BYTES, is_name

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SampleSet:
    """A row of ``lode.sample_set``; see the table for the columns."""

    sample_set_id: int
    name: str
    tile_px: int
    resolution_m: float
    class_codes: list[int]
    split_rule: str
    seed: int
    gap_m: float
    scene_ids: list[int]
    parameters: dict[str, Any]
    created_at: datetime.datetime


@dataclass(frozen=True)
class NewSampleSet:
    """A set to be stored; attributes as in ``lode.sample_set``."""

    name: str
    tile_px: int
    resolution_m: float
    class_codes: tuple[int, ...]
    split_rule: str
    seed: int
    gap_m: float
    scene_ids: tuple[int, ...]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """A window of a scene with the part it plays: a row of ``lode.sample`` without its outline.

    Attributes:
        scene_id: the scene.
        row_px, col_px, height_px, width_px: the window in the scene's pixels, from 0.
        split: train, validation or test.
        group_key: mine, block or group of scenes that is held out as a whole.
        label_ids: labels whose pixels count.
        class_pixels: labelled pixels by class of the set.
        own_class_pixels: those of them that no earlier sample of the set holds.

    """

    scene_id: int
    row_px: int
    col_px: int
    height_px: int
    width_px: int
    split: str
    group_key: str
    label_ids: list[int]
    class_pixels: list[int]
    own_class_pixels: list[int]


def require_free_set_name(conn: Connection[Any], name: str) -> None:
    """Check that a sample set may be called ``name``.

    Raises:
        UsageError: empty, too long, not printable, or taken.

    """
    if not is_name(name):
        raise UsageError(
            f"name of a sample set {name!r}: give 1 to {NAME_BYTES} bytes of printable characters, without "
            "spaces at the ends or a dash at the beginning"
        )
    if conn.execute("select from lode.sample_set where name = %s", (name,)).fetchone() is not None:
        raise UsageError(_taken(name))


def store_sample_set(
    conn: Connection[Any], new: NewSampleSet, samples: Sequence[Sample], outlines: Sequence[shapely.Polygon]
) -> int:
    """Store a set and its samples in the caller's transaction.

    Args:
        conn: connection inside a transaction.
        new: the set.
        samples: its samples; their keys count up in this order.
        outlines: Polygon of each sample, EPSG:4326.

    Returns:
        sample_set_id.

    Raises:
        UsageError: the name is taken.

    """
    try:
        with conn.transaction():
            row = conn.execute(
                "insert into lode.sample_set (name, tile_px, resolution_m, class_codes, split_rule,"
                " seed, gap_m, scene_ids, parameters) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
                " returning sample_set_id",
                (
                    new.name,
                    new.tile_px,
                    new.resolution_m,
                    list(new.class_codes),
                    new.split_rule,
                    new.seed,
                    new.gap_m,
                    list(new.scene_ids),
                    Jsonb(dict(new.parameters)),
                ),
            ).fetchone()
    except errors.UniqueViolation as error:
        raise UsageError(_taken(new.name)) from error
    if row is None:
        raise RuntimeError("insert into lode.sample_set returned no key")
    set_id = int(row[0])
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy lode.sample (sample_set_id, scene_id, row_px, col_px, height_px, width_px, split,"
            " group_key, label_ids, class_pixels, own_class_pixels, geom) from stdin"
        ) as copy,
    ):
        for sample, outline in zip(samples, outlines, strict=True):
            copy.write_row((set_id, *vars(sample).values(), ewkb_hex(outline)))
    return set_id


def list_sample_sets(conn: Connection[Any]) -> list[SampleSet]:
    """All sets, by name."""
    with conn.cursor(row_factory=class_row(SampleSet)) as cursor:
        return cursor.execute(_SELECT + " order by name").fetchall()


def sample_set_by_name(conn: Connection[Any], name: str) -> SampleSet:
    """The set called ``name``.

    Raises:
        UsageError: there is none; lists those there are.

    """
    with conn.cursor(row_factory=class_row(SampleSet)) as cursor:
        found = cursor.execute(_SELECT + " where name = %s", (name,)).fetchone()
    if found is not None:
        return found
    names = [row[0] for row in conn.execute("select name from lode.sample_set order by name")]
    known = "there are " + ", ".join(names) if names else "there is none yet, see lode samples build"
    raise UsageError(f"no sample set is called {name!r}: {known}")


def samples_of_set(conn: Connection[Any], sample_set_id: int) -> list[Sample]:
    """The samples of a set, by key."""
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(
            "select scene_id, row_px, col_px, height_px, width_px, split, group_key, label_ids, class_pixels,"
            " own_class_pixels from lode.sample where sample_set_id = %s order by sample_id",
            (sample_set_id,),
        ).fetchall()


def polygons_of_set(conn: Connection[Any], sample_set_id: int) -> dict[tuple[str, int], int]:
    """Labels of a set that still exist, by split and class.

    A label too large for one window may count in more than one split.
    """
    rows = conn.execute(
        """
        select s.split, l.land_class_code, count(distinct l.label_id)
        from lode.sample s
        cross join lateral unnest(s.label_ids) as used (label_id)
        join lode.label l on l.label_id = used.label_id
        where s.sample_set_id = %s
        group by s.split, l.land_class_code
        """,
        (sample_set_id,),
    ).fetchall()
    return {(split, code): count for split, code, count in rows}


def count_lost_labels(conn: Connection[Any], sample_set_id: int) -> int:
    """How many labels of a set do not exist any more."""
    row = conn.execute(
        """
        select count(distinct used.label_id)
        from lode.sample s
        cross join lateral unnest(s.label_ids) as used (label_id)
        where s.sample_set_id = %s
          and not exists (select from lode.label l where l.label_id = used.label_id)
        """,
        (sample_set_id,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def mines_of_labels(
    conn: Connection[Any], label_ids: Sequence[int], reach_m: float
) -> dict[int, tuple[str, bool]]:
    """Code of the mine that each label goes with, and whether it holds at least half of the label.

    That is the mine that holds most of it; where none touches it the nearest one within reach. Labels that go
    with none are left out.

    Args:
        conn: connection.
        label_ids: the labels.
        reach_m: a label this near to a mine goes with it, m; geodesic.

    """
    rows = conn.execute(
        """
        select l.label_id, near.code, near.holds
        from lode.label l
        cross join lateral (
          select m.code, st_area(st_intersection(m.boundary, l.geom)) >= 0.5 * st_area(l.geom) as holds,
            st_distance(m.boundary::geography, l.geom::geography) as distance_m
          from lode.mine m
          where m.boundary && st_expand(
            l.geom,
            %(reach)s / (110000 * greatest(cos(radians(st_y(st_centroid(l.geom)))), 0.01)),
            %(reach)s / 110000
          )
          order by st_area(st_intersection(m.boundary, l.geom)) desc, distance_m, m.code
          limit 1
        ) near
        where l.label_id = any(%(labels)s) and near.distance_m <= %(reach)s
        """,
        {"labels": list(label_ids), "reach": reach_m},
    ).fetchall()
    return {label_id: (code, holds) for label_id, code, holds in rows}


def near_scenes(conn: Connection[Any], scene_ids: Sequence[int], reach_m: float) -> list[tuple[int, int]]:
    """Pairs of scenes whose valid pixels overlap, touch, or lie within reach; smaller key first.

    Measured on the ellipsoid, so that neither zones nor the date line matter.

    Args:
        conn: connection.
        scene_ids: the scenes.
        reach_m: distance, m; geodesic.

    """
    rows = conn.execute(
        """
        select a.scene_id, b.scene_id
        from lode.scene a
        join lode.scene b on a.scene_id < b.scene_id
          and st_dwithin(a.footprint::geography, b.footprint::geography, %(reach)s)
        where a.scene_id = any(%(scenes)s) and b.scene_id = any(%(scenes)s)
        order by a.scene_id, b.scene_id
        """,
        {"scenes": list(scene_ids), "reach": reach_m},
    ).fetchall()
    return [(int(a), int(b)) for a, b in rows]


def remove_sample_set(conn: Connection[Any], name: str) -> int:
    """Remove a set and its samples; returns how many samples it had.

    Raises:
        UsageError: there is none.

    """
    found = sample_set_by_name(conn, name)
    count = conn.execute("delete from lode.sample where sample_set_id = %s", (found.sample_set_id,)).rowcount
    conn.execute("delete from lode.sample_set where sample_set_id = %s", (found.sample_set_id,))
    return count


_SELECT = """
    select sample_set_id, name, tile_px, resolution_m, class_codes, split_rule, seed, gap_m, scene_ids,
      parameters, created_at
    from lode.sample_set
"""


def _taken(name: str) -> str:
    return (
        f"a sample set called {name!r} exists: choose another name, or remove it with `lode samples remove`"
    )
