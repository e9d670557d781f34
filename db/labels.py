"""Labels: polygons of known class, drawn by interpreters. All SQL about ``lode.label``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import shapely
from psycopg import Connection


@dataclass(frozen=True)
class Label:
    """A label as training reads it; geometry in EPSG:4326."""

    label_id: int
    land_class_code: int
    geometry: shapely.Geometry


@dataclass(frozen=True)
class NewLabel:
    """A label to be stored.

    Attributes:
        land_class_code: its class.
        geometry: MultiPolygon, EPSG:4326, valid.
        valid_on: day of the image or visit it describes.
        interpreter: who drew it.
        scene_id: the scene it was drawn on; None: it holds for every scene of its year.
        is_counted: it decides the class of its ground in its year's account; labels of classes that no
            network maps do so anyway.

    """

    land_class_code: int
    geometry: shapely.MultiPolygon
    valid_on: date
    interpreter: str | None
    scene_id: int | None
    is_counted: bool = False


def labels_of_scene(conn: Connection[Any], scene_id: int) -> list[Label]:
    """Labels that hold for a scene, by key.

    Those drawn on it, and those drawn on no scene whose day lies in the scene's year and that touch its
    footprint.
    """
    rows = conn.execute(
        """
        select l.label_id, l.land_class_code, st_asbinary(l.geom)
        from lode.scene s
        join lode.label l on l.scene_id = s.scene_id
        where s.scene_id = %(scene)s
        union all
        select l.label_id, l.land_class_code, st_asbinary(l.geom)
        from lode.scene s
        join lode.label l on l.scene_id is null
          and l.valid_on >= date_trunc('year', s.acquired_on)::date
          and l.valid_on < (date_trunc('year', s.acquired_on) + interval '1 year')::date
          and st_intersects(l.geom, s.footprint)
        where s.scene_id = %(scene)s
        order by 1
        """,
        {"scene": scene_id},
    ).fetchall()
    shapes = shapely.from_wkb([row[2] for row in rows])
    return [
        Label(label_id, code, geometry) for (label_id, code, _wkb), geometry in zip(rows, shapes, strict=True)
    ]


def insert_labels(conn: Connection[Any], labels: Iterable[NewLabel], *, source_id: int) -> int:
    """Store labels.

    Args:
        conn: connection inside a transaction.
        labels: the labels.
        source_id: the file they came from.

    Returns:
        How many were stored.

    """
    count = 0
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy lode.label (land_class_code, geom, valid_on, scene_id, interpreter, is_counted,"
            " feature_source_id) from stdin"
        ) as copy,
    ):
        for label in labels:
            copy.write_row(
                (
                    label.land_class_code,
                    ewkb_hex(label.geometry),
                    label.valid_on,
                    label.scene_id,
                    label.interpreter,
                    label.is_counted,
                    source_id,
                )
            )
            count += 1
    return count


def ewkb_hex(geometry: shapely.Geometry) -> str:
    """Hexadecimal EWKB of a geometry in EPSG:4326, as PostGIS reads it in a COPY."""
    return str(shapely.to_wkb(shapely.set_srid(geometry, 4326), hex=True, include_srid=True))


def delete_labels_of_source(conn: Connection[Any], source_id: int) -> int:
    """Delete the labels that came from a file; returns how many."""
    return conn.execute("delete from lode.label where feature_source_id = %s", (source_id,)).rowcount


def move_labels(conn: Connection[Any], from_scene_id: int, to_scene_id: int) -> int:
    """Give labels drawn on a scene to its newer version; returns how many."""
    return conn.execute(
        "update lode.label set scene_id = %s where scene_id = %s", (to_scene_id, from_scene_id)
    ).rowcount
