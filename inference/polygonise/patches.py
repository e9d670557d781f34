"""A class map becomes patches: one polygon for each 4-connected component, dissolved over the whole map."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from db.jit import compiled, read_only
from inference.polygonise.geometry import Polygons, to_wgs84
from inference.polygonise.graph import Graph, Outlines, build_graph
from inference.polygonise.runs import Runs, encode_runs
from inference.polygonise.trace import trace_rings


@dataclass(frozen=True)
class Patches:
    """Patches of a class map in scan order of their first pixels.

    ``class_code (n,)``, ``pixel_count (n,)``, ``mean_confidence (n,)`` float64 in units of the confidence
    given, NaN without one. ``polygons``: n polygons. ``observation``: what was observed, one polygon per
    4-connected part; its outlines pass the same vertices as those of the patches. Both share one table of
    vertices.
    """

    class_code: npt.NDArray[np.uint8]
    pixel_count: npt.NDArray[np.int64]
    mean_confidence: npt.NDArray[np.float64]
    polygons: Polygons
    observation: Polygons

    def __len__(self) -> int:
        return len(self.class_code)

    def to_wgs84(self, source_srid: int) -> "Patches":
        """Return the patches in EPSG:4326; each vertex is transformed once, so neighbours still fit."""
        vertices = to_wgs84(self.polygons.vertices, source_srid)
        return replace(
            self,
            polygons=self.polygons.with_vertices(vertices),
            observation=self.observation.with_vertices(vertices),
        )


def polygonise(
    class_map: npt.NDArray[np.uint8],
    *,
    origin_x: float,
    origin_y: float,
    resolution_x: float,
    resolution_y: float,
    max_segment_m: float = 500.0,
    confidence: npt.NDArray[np.uint8] | npt.NDArray[np.float32] | None = None,
) -> Patches:
    """Outline the patches of ``class_map (height, width)`` along pixel edges; 255 is not observed.

    The grid is north-up: ``origin_x, origin_y`` is the north-western corner, resolutions are positive, all
    in metres of the map's CRS. No segment is longer than ``max_segment_m``: a straight outline gets a vertex
    where it crosses rows and columns that are multiples of it. ``confidence (height, width)`` is averaged
    over each patch. The arrays may be memory maps; memory is needed for runs and vertices only.

    Raises ``ValueError`` for arrays of another type or shape and a segment shorter than a pixel.
    """
    if not (resolution_x > 0 and resolution_y > 0):
        raise ValueError(f"resolutions are positive (north-up grid), got {resolution_x} and {resolution_y}")
    if not max_segment_m >= max(resolution_x, resolution_y):
        raise ValueError(f"longest segment {max_segment_m} m is shorter than a pixel: give at least its size")
    if confidence is not None and (
        confidence.shape != class_map.shape or confidence.dtype not in (np.uint8, np.float32)
    ):
        raise ValueError(
            f"confidence is uint8 or float32 of the class map's shape {class_map.shape}, "
            f"got {confidence.dtype} of {confidence.shape}"
        )
    runs = encode_runs(class_map)
    graph = build_graph(
        runs,
        max_segment_rows=int(max_segment_m / resolution_y),
        max_segment_cols=int(max_segment_m / resolution_x),
    )
    vertices = np.column_stack(
        (origin_x + graph.col * float(resolution_x), origin_y - graph.row * float(resolution_y))
    )
    of_itself = np.arange(runs.patch_count + 1, dtype=np.int32)
    return Patches(
        runs.class_code[1:],
        runs.pixel_count[1:],
        _mean_confidence(runs, confidence),
        _polygons(vertices, graph, graph.patches, runs, of_itself, runs.patch_count),
        _polygons(vertices, graph, graph.observation, runs, graph.observed_region, graph.region_count),
    )


def _polygons(
    vertices: npt.NDArray[np.float64],
    graph: Graph,
    outlines: Outlines,
    runs: Runs,
    region_of_label: npt.NDArray[np.int32],
    region_count: int,
) -> Polygons:
    return Polygons(vertices, *trace_rings(graph, outlines, runs, region_of_label, region_count))


def _mean_confidence(
    runs: Runs, confidence: npt.NDArray[np.uint8] | npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float64]:
    if confidence is None:
        return np.full(runs.patch_count, np.nan)
    total = np.zeros(runs.patch_count + 1)
    _sum_confidence(runs.row_offsets, runs.column, runs.label, read_only(confidence), total)
    return total[1:] / runs.pixel_count[1:]


@compiled
def _sum_confidence(
    row_offsets: npt.NDArray[np.int64],
    column: npt.NDArray[np.int32],
    label: npt.NDArray[np.int32],
    confidence: npt.NDArray[np.generic],
    total: npt.NDArray[np.float64],
) -> None:
    height, width = confidence.shape
    for row in range(height):
        for run in range(row_offsets[row], row_offsets[row + 1]):
            end = column[run + 1] if run + 1 < row_offsets[row + 1] else width
            for col in range(column[run], end):
                total[label[run]] += confidence[row, col]
