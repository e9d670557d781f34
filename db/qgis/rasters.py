"""Rasters of searches as QGIS's layers: which there are, and how one of their bands is shaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from psycopg import Connection
from psycopg.rows import class_row

from db.qgis.qml import Range


@dataclass(frozen=True)
class SearchRaster:
    """The raster of a search that stands and was made without deposits.

    Attributes:
        prospect_run_id: the search.
        ground: study area that was searched.
        srid: of the raster.
        tile_table: in lode_raster.
        band_names: what its bands hold, in order.

    """

    prospect_run_id: int
    ground: str
    srid: int
    tile_table: str
    band_names: list[str]


def search_rasters(conn: Connection[Any], count: int) -> list[SearchRaster]:
    """The rasters of the last searches that stand, the newest first."""
    with conn.cursor(row_factory=class_row(SearchRaster)) as cursor:
        return cursor.execute(
            "select r.prospect_run_id, a.name as ground, a.srid, r.tile_table, r.band_names"
            " from lode.prospect_run r"
            " join lode.evidence_area a on a.evidence_area_id = r.evidence_area_id"
            " where r.score_kind = 'prospectivity' and r.withdrawn_at is null"
            "  and to_regclass(format('lode_raster.%%I', r.tile_table)) is not null"
            " order by r.published_at desc, r.prospect_run_id desc limit %s",
            (count,),
        ).fetchall()


def shaded_band(band: int, ranges: Sequence[Range]) -> list[ElementTree.Element]:
    """The style of a raster of which one band is drawn in the colours of classes.

    Args:
        band: from 1.
        ranges: the classes, rising; the last takes all that lies above.

    """
    pipe = ElementTree.Element("pipe")
    renderer = ElementTree.SubElement(
        pipe,
        "rasterrenderer",
        type="singlebandpseudocolor",
        band=str(band),
        opacity="0.8",
        alphaBand="-1",
        classificationMin=f"{ranges[0].lower:g}",
        classificationMax=f"{ranges[-1].lower:g}",
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    shader = ElementTree.SubElement(
        ElementTree.SubElement(renderer, "rastershader"),
        "colorrampshader",
        colorRampType="DISCRETE",  # the value of a class is its upper end
        classificationMode="1",
        clip="0",
        minimumValue=f"{ranges[0].lower:g}",
        maximumValue=f"{ranges[-1].lower:g}",
    )
    for place, each in enumerate(ranges, 1):
        is_last = place == len(ranges)
        ElementTree.SubElement(
            shader,
            "item",
            value="inf" if is_last else f"{each.upper:g}",
            color=each.colour,
            alpha="255",
            label=each.label,
        )
    return [pipe, ElementTree.Element("blendMode")]
